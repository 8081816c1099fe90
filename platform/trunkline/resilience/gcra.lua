-- Several buckets in one call: all grant or none does. GCRA keeps one number a bucket, the theoretical arrival time.
-- KEYS: the penalty, then the buckets. ARGV: now in microseconds (-1: the server's), cost, then for each bucket its
-- interval and its tolerance in microseconds. Returns the microseconds to wait; 0: granted.
local now = tonumber(ARGV[1])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local cost = tonumber(ARGV[2])
local wait = 0
local closed = tonumber(redis.call('GET', KEYS[1]) or '0')
if closed > now then
  wait = closed - now
end
local after = {}
for index = 2, #KEYS do
  local interval = tonumber(ARGV[index * 2 - 1])
  local tolerance = tonumber(ARGV[index * 2])
  local arrival = math.max(tonumber(redis.call('GET', KEYS[index]) or '0'), now)
  after[index] = arrival + interval * cost
  wait = math.max(wait, after[index] - tolerance - now)
end
if wait > 0 then
  return string.format('%.0f', math.ceil(wait))
end
for index = 2, #KEYS do
  redis.call('SET', KEYS[index], string.format('%.0f', after[index]),
             'PX', string.format('%.0f', math.ceil((after[index] - now) / 1000) + 1000))
end
return '0'
