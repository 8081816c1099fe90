-- May a call be made? One question to everything that can hold it back: all grant or none does.
-- GCRA keeps one number a bucket, the theoretical arrival time; a breaker is "failures open-until period".
-- KEYS: the penalty, the connection's breaker, the host's, then for each bucket its arrival and its slow pace.
-- ARGV: now in microseconds (-1: the server's), cost, class (1 background, 2 interactive), how long a probe may
-- take, for each bucket its interval, tolerance and what a call takes of it; then what headers have said since: the bucket's number, for
-- how long, the spacing of background and of interactive calls (-1: none). All times in microseconds.
-- Returns 0: granted; {0, sum of 1: failures are on record, 2: probe of the connection, 4: probe of the host};
-- {wait, by}, by: -1 a breaker, 0 the penalty, or the bucket's number.
local now = tonumber(ARGV[1])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local cost, class = tonumber(ARGV[2]), tonumber(ARGV[3])
local count = (#KEYS - 3) / 2
for at = 5 + 3 * count, #ARGV, 4 do
  local last = tonumber(ARGV[at + 1])
  redis.call('SET', KEYS[3 + 2 * tonumber(ARGV[at])],
             string.format('%.0f %s %s', now + last, ARGV[at + 2], ARGV[at + 3]),
             'PX', string.format('%.0f', math.ceil(last / 1000) + 1))
end
local held = redis.call('MGET', unpack(KEYS))
local wait, by = 0, 0
local known = 0
local probes = {}
for index = 2, 3 do
  if held[index] then
    local failures, open, period = string.match(held[index], '^(%d+) (%d+) (%d+)$')
    open = tonumber(open)
    known = known + (known == 0 and 1 or 0)
    if open > now then
      wait, by = math.max(wait, open - now), -1
    elseif open > 0 then
      known = known + 2 ^ (index - 1)
      probes[index] = {failures, period}
    end
  end
end
if by < 0 then
  return {wait, by}
end
local closed = tonumber(held[1] or '0')
if closed > now then
  wait = closed - now
end
local after = {}
for bucket = 1, count do
  local at = 2 + 3 * bucket
  local interval, tolerance, taken = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), cost * tonumber(ARGV[at + 2])
  local arrival = math.max(tonumber(held[2 + 2 * bucket] or '0'), now)
  local needed = 0
  if held[3 + 2 * bucket] then
    local ends, background, interactive = string.match(held[3 + 2 * bucket], '^(%d+) (-?%d+) (-?%d+)$')
    local spacing = tonumber(class == 1 and background or interactive)
    if tonumber(ends) > now then
      if spacing < 0 then
        needed = tonumber(ends) - now
      elseif spacing > interval then
        interval, tolerance = spacing, spacing
      end
    end
  end
  after[bucket] = arrival + interval * taken
  needed = math.max(needed, after[bucket] - math.max(tolerance, interval * taken) - now)
  if needed > wait then
    wait, by = needed, bucket
  end
end
if wait > 0 then
  return {math.ceil(wait), by}
end
for bucket = 1, count do
  redis.call('SET', KEYS[2 + 2 * bucket], string.format('%.0f', after[bucket]),
             'PX', string.format('%.0f', math.ceil((after[bucket] - now) / 1000) + 1000))
end
for index, state in pairs(probes) do
  local till = now + tonumber(ARGV[4])
  redis.call('SET', KEYS[index], string.format('%s %.0f %s', state[1], till, state[2]), 'KEEPTTL')
end
if known == 0 then
  return 0
end
return {0, known}
