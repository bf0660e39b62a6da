-- KEYS: unwritten
-- ARGV: group, hash tag of the shard, seconds that fences stay, then ids
for i = 4, #ARGV do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  if entry and redis.call('XDEL', KEYS[1], ARGV[i]) == 1 then
    local base = ARGV[2] .. ':c:' .. entry[2][2] .. ':'
    local bus = base .. 'bus'
    local left = redis.call('HINCRBY', bus, 'unwritten', -1)
    if left <= 0 and redis.call('HGET', bus, 'forget') then
      forget(bus, base, ARGV[3])
    end
  end
end
