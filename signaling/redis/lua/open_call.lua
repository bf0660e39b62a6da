-- KEYS: bus
-- ARGV: base of the call's keys, epoch, then feed and number in turn
local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
if tonumber(ARGV[2]) >= fence then
  redis.call('HSET', KEYS[1], 'fence', ARGV[2])
end
redis.call('HSET', KEYS[1], 'open', 1)
redis.call('HDEL', KEYS[1], 'ended', 'over', 'forget')
for i = 3, #ARGV, 2 do
  local field = 'n:' .. ARGV[i]
  if tonumber(ARGV[i + 1]) > tonumber(redis.call('HGET', KEYS[1], field) or '0') then
    redis.call('HSET', KEYS[1], field, ARGV[i + 1])
  end
end
redis.call('PERSIST', KEYS[1])
redis.call('PERSIST', ARGV[1] .. 'open')
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == 'n:' then
    local feed = string.sub(field, 3)
    redis.call('PERSIST', ARGV[1] .. 'finals:' .. feed)
    redis.call('PERSIST', ARGV[1] .. 'seen:' .. feed)
  end
end
