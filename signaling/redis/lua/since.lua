-- KEYS: bus, finals
-- ARGV: feed, number
-- Returns the newest number, whether the call has ended, whether all behind the number is
-- remembered (what lost its newest memory may have holes), and then those finals as number and
-- body in turn; nothing of an unknown call. Of one that is forgotten it is known that it has ended.
local state = redis.call('HMGET', KEYS[1], 'open', 'n:' .. ARGV[1], 'ended', 'over')
if not state[1] then
  return state[4] and { 0, 1, 0 } or false
end
local newest = tonumber(state[2] or '0')
local ended = state[3] and 1 or 0
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
local first = oldest and tonumber(string.match(oldest[1], '^%d+')) or newest + 1
if tonumber(ARGV[2]) + 1 < first then
  return { newest, ended, 0 }
end
local answer = { newest, ended, 1 }
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], string.format('%.0f-0', ARGV[2] + 1), '+')) do
  answer[#answer + 1] = tonumber(string.match(entry[1], '^%d+'))
  answer[#answer + 1] = entry[2][4]
end
if #answer - 3 ~= 2 * math.max(0, newest - tonumber(ARGV[2])) then
  return { newest, ended, 0 }
end
return answer
