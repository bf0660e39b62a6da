-- KEYS: the call, the shard's calls
-- ARGV: version it must have ('' for none), version it gets ('' for over), call, summary, channel,
--       message, how many fields are set, then name and value of each, then the names that go
if (redis.call('HGET', KEYS[1], 'v') or '') ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
  redis.call('HDEL', KEYS[2], ARGV[3])
else
  redis.call('HSET', KEYS[1], 'v', ARGV[2])
  local sets = tonumber(ARGV[7])
  for i = 8, 7 + 2 * sets, 2 do
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
  for i = 8 + 2 * sets, #ARGV do
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
