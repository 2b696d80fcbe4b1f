-- Enters a job into its tenant's ledger, if the sums stay within the bounds.
-- KEYS: jobs, looked, sums, audio of the tenant.
-- ARGV: job, bytes, now, day, first day whose audio is kept; most open jobs, bytes, milliseconds of the day ('' for no bound).
-- Returns done, or the bound that is passed (jobs, bytes, audio), and the sums as they were found.
local jobs, looked, sums, audio = unpack(KEYS)
local job, bytes, now, day, first_day = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local most_open, most_bytes, most_audio = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local open = tonumber(redis.call('HGET', sums, 'open') or 0)
local held = tonumber(redis.call('HGET', sums, 'bytes') or 0)
local today = tonumber(redis.call('HGET', audio, day) or 0)
redis.call('ZCARD', looked) -- a damaged key fails here, before anything is written
-- As text: numbers would lose their digits on the way.
local function say(word) return { word, string.format('%.0f', open), string.format('%.0f', held), string.format('%.0f', today) } end

if redis.call('HEXISTS', jobs, job) == 1 then return say('done') end -- entered before; the answer was lost
if most_open and open >= most_open then return say('jobs') end
if most_bytes and held + bytes > most_bytes then return say('bytes') end
if most_audio and today >= most_audio then return say('audio') end

for _, old in ipairs(redis.call('HKEYS', audio)) do
  if tonumber(old) < first_day then redis.call('HDEL', audio, old) end
end
redis.call('HSET', jobs, job, '1 ' .. ARGV[2] .. ' 0 ' .. now)
redis.call('ZADD', looked, now, job)
redis.call('HSET', sums, 'open', string.format('%.0f', open + 1), 'bytes', string.format('%.0f', held + bytes))
return say('done')
