-- KEYS: bus
-- ARGV: base of the call's keys, seconds that its fence stays
-- One that has begun again since it ended is not for forgetting.
local state = redis.call('HMGET', KEYS[1], 'open', 'ended')
if state[1] and state[2] then
  if tonumber(redis.call('HGET', KEYS[1], 'unwritten') or '0') > 0 then
    redis.call('HSET', KEYS[1], 'forget', 1)
  else
    forget(KEYS[1], ARGV[1], ARGV[2])
  end
end
