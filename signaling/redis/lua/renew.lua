-- KEYS: leases by when they lapse, of a limit each
-- ARGV: milliseconds of a lease, then one lease for each key
local time = redis.call('TIME')
local lapses = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i = 1, #KEYS do
  redis.call('ZADD', KEYS[i], lapses, ARGV[1 + i])
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
