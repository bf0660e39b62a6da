-- KEYS: bus
-- ARGV: base of the call's keys, channel of its end, seconds until all of it goes
-- Tells the fence of the life that ends: in a cluster this may arrive when the next has begun.
local state = redis.call('HMGET', KEYS[1], 'open', 'fence')
if state[1] then
  redis.call('HSET', KEYS[1], 'ended', 1)
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  redis.call('EXPIRE', ARGV[1] .. 'open', ARGV[3])
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 2) == 'n:' then
      local feed = string.sub(field, 3)
      redis.call('EXPIRE', ARGV[1] .. 'finals:' .. feed, ARGV[3])
      redis.call('EXPIRE', ARGV[1] .. 'seen:' .. feed, ARGV[3])
    end
  end
end
redis.call('PUBLISH', ARGV[2], state[1] and state[2] or 'unopened')
