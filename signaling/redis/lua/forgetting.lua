-- Forget an ended call; its fence stays for a while, against who still believes to own it.
local function forget(bus, base, seconds)
  for _, field in ipairs(redis.call('HKEYS', bus)) do
    if string.sub(field, 1, 2) == 'n:' then
      local feed = string.sub(field, 3)
      redis.call('DEL', base .. 'finals:' .. feed, base .. 'seen:' .. feed)
      redis.call('HDEL', bus, field)
    end
  end
  redis.call('DEL', base .. 'open')
  redis.call('HDEL', bus, 'open', 'ended', 'forget', 'unwritten')
  redis.call('HSET', bus, 'over', 1)
  redis.call('EXPIRE', bus, seconds)
end
