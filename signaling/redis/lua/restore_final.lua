-- KEYS: bus, finals, seen, unwritten, open
-- ARGV: epoch, feed, utterance, body, kept, call, live channel, wake channel, shard, seq
-- A call that is not open yet takes finals all the same: who opens it goes on behind them.
local state = redis.call('HMGET', KEYS[1], 'fence', 'ended', 'over')
if state[2] or state[3] or (state[1] and tonumber(ARGV[1]) < tonumber(state[1])) then
  return 'fenced'
end
if redis.call('HGET', KEYS[3], ARGV[3]) then
  return 'known'
end
local seq = tonumber(ARGV[10])
if seq > tonumber(redis.call('HGET', KEYS[1], 'n:' .. ARGV[2]) or '0') then
  redis.call('HSET', KEYS[1], 'n:' .. ARGV[2], seq)
end
keep(KEYS, ARGV[2], ARGV[3], seq, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9])
return 'ok'
