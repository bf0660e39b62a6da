-- KEYS: seen, memory, status, drain
-- ARGV: id, name for a memory that has none, milliseconds after which the dead are forgotten, what
--       this returned to it last, status (nodes only)
-- Returns the name of the memory, whether the node is to drain, and when it was seen. Who was seen
-- later than is known here was so in a memory whose newest part is lost: this one is another.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]), 'LIMIT', 0, 100)
if #dead > 0 then
  redis.call('ZREM', KEYS[1], unpack(dead))
  if ARGV[5] then
    redis.call('HDEL', KEYS[3], unpack(dead))
    redis.call('SREM', KEYS[4], unpack(dead))
  end
end
local seen = redis.call('ZSCORE', KEYS[1], ARGV[1])
if seen and tonumber(seen) < tonumber(ARGV[4]) then
  redis.call('SET', KEYS[2], ARGV[2])
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'NX')
local drain = 0
if ARGV[5] then
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[5])
  drain = redis.call('SISMEMBER', KEYS[4], ARGV[1])
end
return { redis.call('GET', KEYS[2]), drain, string.format('%.0f', now) }
