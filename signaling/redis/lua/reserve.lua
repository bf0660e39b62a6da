-- KEYS: seen, status, calls
-- ARGV: milliseconds of a lease
-- Returns the living node with the lowest share of its capacity in use; a call more is on it.
local living = alive(KEYS[1], tonumber(ARGV[1]))
local chosen, lowest = false, nil
for i = 1, #living, 2 do
  local text = redis.call('HGET', KEYS[2], living[i])
  if text then
    local status = cjson.decode(text)
    local calls = tonumber(redis.call('HGET', KEYS[3], living[i]) or '0')
    local used = math.max(status.streams, calls)
    local takes = not status.draining and not status.saturated and used < status.capacity
    if takes and (not lowest or used / status.capacity < lowest) then
      chosen, lowest = living[i], used / status.capacity
    end
  end
end
if chosen then
  redis.call('HINCRBY', KEYS[3], chosen, 1)
end
return chosen
