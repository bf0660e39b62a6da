-- KEYS: when the next is due
-- ARGV: microseconds between two, how many may come at once
-- Returns the microseconds to wait, 0 where one was taken (ITU-T I.371's GCRA).
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = due + interval - now - burst * interval
if wait > 0 then
  return math.ceil(wait)
end
due = due + interval
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000))
return 0
