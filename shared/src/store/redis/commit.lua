-- Writes a step, if it continues what is stored. Knows nothing of jobs: numbers and texts come from outside.
--
-- A script is atomic, but what it has written before an error stays. So all that can fail is looked at first: the
-- revision, the types of the keys, the end of the event log. (A Redis that is full refuses the first write or none.)
--
-- KEYS  header, chunks, results, events, effects, barred of the job; open, due of its shard; created, ends of its tenant there
-- ARGV   1 revision before ('' makes the job)   2 revision after   3 token of this commit
--        4 '1' while the job is open            5 its member in the index of open jobs
--        6 milliseconds for which a job that is not open is kept
--        7 header   8 number of chunks, if it is above the one stored
--        9 channel of the wake-ups, 10 what is said there
--       11-14 how many chunks, results, events, effects follow
--       15 the job's member in the list of its tenant; then these:
--          chunk, record · chunk, result · id, event · number, member in the index of due effects, effect
-- Returns done, conflict and the stored revision, exists (the job is there), barred (it must not be made), or
-- log (the events do not continue the log).
local header, chunks, results, events, effects, barred, open, due, created, ends = unpack(KEYS)
local before, after, token, is_open = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local n_chunks, n_results, n_events, n_effects =
  tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])

local revision, last_token, was_open, top = unpack(redis.call('HMGET', header, 'r', 't', 'o', 'n'))
if revision == after and last_token == token then
  return { 'done' } -- by this very commit, whose answer was lost
end
if before == '' then
  if revision then return { 'exists' } end
  if redis.call('EXISTS', barred) == 1 then return { 'barred' } end
elseif revision ~= before then
  return { 'conflict', revision or '' }
end

redis.call('HLEN', chunks)
redis.call('HLEN', results)
redis.call('HLEN', effects)
redis.call('ZCARD', open)
redis.call('ZCARD', due)
redis.call('ZCARD', created)
redis.call('ZCARD', ends)
local at = 16
local first_event = ARGV[at + 2 * (n_chunks + n_results)]
-- As many events as the last one's number: so the log has no hole and nothing is told twice.
local length = redis.call('XLEN', events)
if n_events > 0 and length + 1 ~= tonumber(first_event) then return { 'log' } end

local function put(key, count)
  while count > 0 do
    -- Lua can't spread more than some 8 000 values over an argument list.
    local some = math.min(count, 1000)
    redis.call('HSET', key, unpack(ARGV, at, at + 2 * some - 1))
    at, count = at + 2 * some, count - some
  end
end
put(chunks, n_chunks)
put(results, n_results)
for _ = 1, n_events do
  redis.call('XADD', events, ARGV[at] .. '-0', 'e', ARGV[at + 1])
  at = at + 2
end
for _ = 1, n_effects do
  local member = ARGV[at + 1]
  -- The effect begins with its place in the index, so that it is found there when it is done.
  redis.call('HSET', effects, ARGV[at], member .. ARGV[at + 2])
  redis.call('ZADD', due, 0, member)
  at = at + 3
end
if not top or tonumber(ARGV[8]) > tonumber(top) then top = ARGV[8] end
redis.call('HSET', header, 'r', after, 't', token, 'o', is_open, 'n', top, 'h', ARGV[7])

-- A job is listed as long as its header is kept. What has expired is taken out bit by bit, by those that come after.
local ttl, listed, time = tonumber(ARGV[6]), ARGV[15], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', string.format('%.0f', now), 'LIMIT', 0, 8)) do
  redis.call('ZREM', created, gone)
  redis.call('ZREM', ends, gone)
end
redis.call('ZADD', created, 0, listed)
if is_open == '1' then
  redis.call('ZREM', ends, listed)
  redis.call('ZADD', open, 0, ARGV[5])
  if was_open == '0' then
    for _, key in ipairs({ header, chunks, results, events }) do redis.call('PERSIST', key) end
  end
else
  redis.call('ZREM', open, ARGV[5])
  -- Not the effects: what is left to do is kept until it is done, and then it is gone by itself.
  for _, key in ipairs({ header, chunks, results, events }) do redis.call('PEXPIRE', key, ARGV[6]) end
end
if is_open ~= '1' then redis.call('ZADD', ends, string.format('%.0f', now + ttl), listed) end
-- Where all jobs of a list expire, it does with the last of them.
local all_end = redis.call('ZCARD', created) == redis.call('ZCARD', ends)
for _, key in ipairs({ created, ends }) do
  if not all_end then
    redis.call('PERSIST', key)
  elseif redis.call('PTTL', key) < ttl then
    redis.call('PEXPIRE', key, ARGV[6])
  end
end
redis.call('PUBLISH', ARGV[9], ARGV[10])
return { 'done' }
