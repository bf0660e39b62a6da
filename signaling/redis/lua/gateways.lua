-- KEYS: seen
-- ARGV: milliseconds of a lease
local answer = {}
local living = alive(KEYS[1], tonumber(ARGV[1]))
for i = 1, #living, 2 do
  answer[#answer + 1] = living[i]
end
return answer
