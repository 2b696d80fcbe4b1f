-- Tells a tenant's ledger how a job was found to be. One that is not in it stays out of it.
-- KEYS: jobs, looked, sums, audio of the tenant.
-- ARGV: job, now, then gone; or there, '1' if it is open, '1' if its chunks are kept, milliseconds of audio. Returns 1.
local jobs, looked, sums, audio = unpack(KEYS)
local job, now, gone = ARGV[1], ARGV[2], ARGV[3] == 'gone'

local entry = redis.call('HGET', jobs, job)
if not entry then return 1 end
local was_open, bytes, told, at = string.match(entry, '^(%d) (%d+) (%d+) (%d+)$')
redis.call('ZCARD', looked) -- a damaged key fails here, before anything is written
local open, kept = ARGV[4] == '1', ARGV[5] == '1'
local audio_ms = gone and tonumber(told) or tonumber(ARGV[6])
if gone then open, kept = false, false end
local left = kept and tonumber(bytes) or 0

local function add(key, field, difference)
  if difference == 0 then return end
  local sum = math.max(0, tonumber(redis.call('HGET', key, field) or 0) + difference)
  redis.call('HSET', key, field, string.format('%.0f', sum))
end
add(sums, 'open', (open and 1 or 0) - tonumber(was_open))
add(sums, 'bytes', left - tonumber(bytes))
add(audio, string.format('%.0f', math.floor(tonumber(at) / 86400000)), audio_ms - tonumber(told))
if open or kept then
  redis.call('HSET', jobs, job,
    string.format('%d %.0f %.0f %s', open and 1 or 0, left, audio_ms, at))
  redis.call('ZADD', looked, now, job)
else
  redis.call('HDEL', jobs, job)
  redis.call('ZREM', looked, job)
end
return 1
