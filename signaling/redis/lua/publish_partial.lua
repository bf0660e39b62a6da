-- KEYS: bus, open, seen
-- ARGV: epoch, live channel, body, feed, utterance
local state = redis.call('HMGET', KEYS[1], 'fence', 'open', 'ended', 'over')
if not state[1] or not (state[2] or state[3] or state[4]) then
  return 'unopened'
end
if state[3] or not state[2] or tonumber(ARGV[1]) < tonumber(state[1]) then
  return 'fenced'
end
if not redis.call('HGET', KEYS[3], ARGV[5]) then
  redis.call('HSET', KEYS[2], ARGV[4] .. '/' .. ARGV[5], ARGV[3])
end
redis.call('PUBLISH', ARGV[2], '\n' .. ARGV[3])
return 'ok'
