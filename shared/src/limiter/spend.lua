-- Takes one more request of a name in, if there is room (see rate.rs).
-- KEYS: the time at which the name's bucket will have run empty, in microseconds.
-- ARGV: now, microseconds of the window, microseconds of one request, '1' if any is allowed at all.
-- Returns whether it was granted, and the time as it is after that.
local now, window, each = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local empty = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local granted = ARGV[4] == '1' and empty + each - now <= window
if granted then
  empty = empty + each
  redis.call('SET', KEYS[1], string.format('%.0f', empty), 'PX', math.ceil((empty - now) / 1000) + 1000)
end
return { granted and 1 or 0, string.format('%.0f', empty) }
