-- Takes an idempotency key that nobody holds, or that is held by who is named. Returns who holds it then.
-- KEYS: the key. ARGV: the holder it may be taken from ('' for nobody), the new holder, milliseconds it is remembered.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return ARGV[2]
