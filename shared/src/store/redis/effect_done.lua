-- Forgets an effect. KEYS: effects of the job, due of its shard. ARGV: number of the effect, length of a member.
local effect = redis.call('HGET', KEYS[1], ARGV[1])
if effect then
  redis.call('ZREM', KEYS[2], string.sub(effect, 1, tonumber(ARGV[2])))
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
