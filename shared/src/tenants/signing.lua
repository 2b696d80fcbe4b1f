-- Puts a tenant's signing secrets in the place of those that were read before.
-- KEYS: the hash of all tenants' secrets.
-- ARGV: tenant, what was read ('' if nothing), what is to be there ('' for nothing), most tenants.
-- Returns done, changed (they are not what was read) or full. Done too if they are already what is to be there.
local key = KEYS[1]
local tenant, before, after, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local there = redis.call('HGET', key, tenant) or ''
if there == after then return 'done' end
if there ~= before then return 'changed' end
if after == '' then
  redis.call('HDEL', key, tenant)
  return 'done'
end
if there == '' and redis.call('HLEN', key) >= most then return 'full' end
redis.call('HSET', key, tenant, after)
return 'done'
