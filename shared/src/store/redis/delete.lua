-- Forgets a job, but not what is still to be done for it. It can't be made again: who was about to, finds it barred.
-- The indexes come first: should one be damaged, the job is still there to be deleted later.
-- KEYS: header, chunks, results, events, barred of the job; open, created, ends of its shard.
-- ARGV: its member in open, its member in created ('' if it is not known), milliseconds for which it is barred, channel of the
-- wake-ups, what is said there. Returns 1 if the job was there.
local header, chunks, results, events, barred, open, created, ends = unpack(KEYS)
redis.call('ZREM', open, ARGV[1])
redis.call('ZREM', created, ARGV[2])
redis.call('ZREM', ends, ARGV[2])
redis.call('SET', barred, '1', 'PX', ARGV[3])
local there = redis.call('EXISTS', header)
redis.call('UNLINK', header, chunks, results, events)
redis.call('PUBLISH', ARGV[4], ARGV[5])
return there
