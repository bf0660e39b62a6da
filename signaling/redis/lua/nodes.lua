-- KEYS: seen, status, calls
-- ARGV: milliseconds of a lease
-- Returns status, calls and last heartbeat of each living node in turn.
local answer = {}
local living = alive(KEYS[1], tonumber(ARGV[1]))
for i = 1, #living, 2 do
  local status = redis.call('HGET', KEYS[2], living[i])
  if status then
    answer[#answer + 1] = status
    answer[#answer + 1] = redis.call('HGET', KEYS[3], living[i]) or '0'
    answer[#answer + 1] = string.format('%.0f', living[i + 1])
  end
end
return answer
