-- KEYS: calls (sorted by when they were granted), permits (sorted by when they end) of a name.
-- ARGV: permit, now, lease, calls a minute or '', permits at a time or '', milliseconds of a minute, of a poll.
-- Returns the milliseconds to wait; 0: granted.
local calls, permits = KEYS[1], KEYS[2]
local permit, now, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local per_minute, concurrent = tonumber(ARGV[4]), tonumber(ARGV[5])
local minute, poll = tonumber(ARGV[6]), tonumber(ARGV[7])

redis.call('ZREMRANGEBYSCORE', calls, '-inf', now - minute)
redis.call('ZREMRANGEBYSCORE', permits, '-inf', now)
if redis.call('ZSCORE', permits, permit) then return 0 end -- granted before; the answer was lost

local wait = 0
if per_minute then
  local used = redis.call('ZCARD', calls)
  if used >= per_minute then
    local first = redis.call('ZRANGE', calls, used - per_minute, used - per_minute, 'WITHSCORES')
    local free = first[2] and tonumber(first[2]) + minute - now or minute
    wait = math.max(1, math.min(minute, free))
  end
end
if concurrent and redis.call('ZCARD', permits) >= concurrent then
  local first = redis.call('ZRANGE', permits, 0, 0, 'WITHSCORES')
  local ends = first[2] and tonumber(first[2]) - now or poll
  wait = math.max(wait, 1, math.min(poll, ends))
end
if wait > 0 then return wait end

if per_minute then
  redis.call('ZADD', calls, now, permit)
  redis.call('PEXPIRE', calls, 2 * minute)
end
redis.call('ZADD', permits, now + lease, permit)
local last = redis.call('ZRANGE', permits, -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', permits, math.max(0, tonumber(last[2]) - now) + minute)
return 0
