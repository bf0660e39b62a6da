-- KEYS: claim
-- ARGV: fingerprint, seconds that it is remembered
-- Returns the fingerprint that the key stands for already.
local known = redis.call('GET', KEYS[1])
if not known then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
return known
