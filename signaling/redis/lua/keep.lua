-- Keep a numbered final: in its feed, on its way to the store, and to whoever listens.
local function keep(keys, feed, utterance, seq, body, kept, call, live, wake, shard)
  local bus, finals, seen, unwritten, open = keys[1], keys[2], keys[3], keys[4], keys[5]
  redis.call('HDEL', open, feed .. '/' .. utterance)
  while redis.call('XLEN', finals) >= tonumber(kept) do
    local oldest = redis.call('XRANGE', finals, '-', '+', 'COUNT', 1)[1]
    redis.call('HDEL', seen, oldest[2][2])
    redis.call('XDEL', finals, oldest[1])
  end
  -- Ids must rise; a final that comes back behind later ones is only on its way to the store.
  local newest = redis.call('XREVRANGE', finals, '+', '-', 'COUNT', 1)[1]
  if not newest or tonumber(string.match(newest[1], '^%d+')) < seq then
    redis.call('XADD', finals, seq .. '-0', 'u', utterance, 'c', body)
  end
  redis.call('HSET', seen, utterance, seq)
  redis.call('XADD', unwritten, '*', 'call', call, 'seq', seq, 'c', body)
  redis.call('HINCRBY', bus, 'unwritten', 1)
  redis.call('PUBLISH', live, seq .. '\n' .. body)
  redis.call('PUBLISH', wake, shard)
end
