-- KEYS: bus, unwritten
-- ARGV: base of the call's keys, call, group
-- Returns feed and newest number in turn. What was said goes; which utterances were, stays.
local answer = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == 'n:' then
    local feed = string.sub(field, 3)
    redis.call('DEL', ARGV[1] .. 'finals:' .. feed)
    answer[#answer + 1] = feed
    answer[#answer + 1] = redis.call('HGET', KEYS[1], field)
  end
end
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
  if entry[2][2] == ARGV[2] then
    redis.call('XACK', KEYS[2], ARGV[3], entry[1])
    redis.call('XDEL', KEYS[2], entry[1])
  end
end
redis.call('DEL', ARGV[1] .. 'open')
redis.call('HDEL', KEYS[1], 'unwritten')
return answer
