-- 1 if a job is there. If it is not and it is to be barred, it can't be made any more.
-- KEYS: header, barred of the job. ARGV: '1' to bar it, milliseconds for which it is barred.
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
if ARGV[1] == '1' then redis.call('SET', KEYS[2], '1', 'PX', ARGV[2]) end
return 0
