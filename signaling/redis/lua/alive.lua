-- Those whose lease is good, and since when they were seen, in turn.
local function alive(seen, lease_ms)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  return redis.call('ZRANGEBYSCORE', seen, now - lease_ms + 1, '+inf', 'WITHSCORES')
end
