-- KEYS: bus, finals, seen, unwritten, open
-- ARGV: epoch, feed, utterance, body, kept, call, live channel, wake channel, shard, an utterance
--       whose final was published before ('' for none)
-- Returns its number, and its body where the utterance had a final already; or why not. What does
-- not know the final before has lost its newest memory.
local state = redis.call('HMGET', KEYS[1], 'fence', 'open', 'ended')
if not state[1] or not (state[2] or state[3] or redis.call('HGET', KEYS[1], 'over')) then
  return 'unopened'
end
if state[3] or not state[2] or tonumber(ARGV[1]) < tonumber(state[1]) then
  return 'fenced'
end
local seq = redis.call('HGET', KEYS[3], ARGV[3])
if seq then
  local entry = redis.call('XRANGE', KEYS[2], seq .. '-0', seq .. '-0')[1]
  return { tonumber(seq), entry and entry[2][4] or '' }
end
if ARGV[10] ~= '' and not redis.call('HGET', KEYS[3], ARGV[10]) then
  return 'unopened'
end
seq = redis.call('HINCRBY', KEYS[1], 'n:' .. ARGV[2], 1)
keep(KEYS, ARGV[2], ARGV[3], seq, ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9])
return { seq }
