-- KEYS: permits of a name. ARGV: permit, now, lease, milliseconds of a minute. Returns 1 if the permit had not ended.
local now, lease = tonumber(ARGV[2]), tonumber(ARGV[3])
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= now then return 0 end
redis.call('ZADD', KEYS[1], now + lease, ARGV[1])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', KEYS[1], math.max(0, tonumber(last[2]) - now) + tonumber(ARGV[4]))
return 1
