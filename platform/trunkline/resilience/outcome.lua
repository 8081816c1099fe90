-- How a call went, for the breakers that stand before the next one.
-- KEYS: the connection's breaker, the host's, the tenants that met the host's failures.
-- ARGV: now in microseconds (-1: the server's), 1 or 0 for well or not, what the call was a probe of (sum of 2:
-- the connection, 4: the host), 1 if the failure is the host's kind, the tenant, failures that open a breaker,
-- tenants that must have met them, first and longest period in microseconds, a factor that spreads periods, and
-- how long failures are remembered in milliseconds.
if ARGV[2] == '1' then
  redis.call('DEL', unpack(KEYS))
  return 0
end
local now = tonumber(ARGV[1])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local remembered = tonumber(ARGV[11])

local function failed(key, probe, ripe)
  local held = redis.call('GET', key)
  local failures, open, period = 0, 0, 0
  if held then
    failures, open, period = string.match(held, '^(%d+) (%d+) (%d+)$')
    failures, open, period = tonumber(failures), tonumber(open), tonumber(period)
  end
  if open > 0 and not probe then
    return -- it was on its way when the breaker opened
  end
  failures = failures + 1
  if open > 0 then
    period = math.min(period * 2, tonumber(ARGV[9]))
  elseif failures >= tonumber(ARGV[6]) and ripe then
    period = tonumber(ARGV[8])
  end
  if period > 0 then
    open = now + math.ceil(period * tonumber(ARGV[10]))
  end
  redis.call('SET', key, string.format('%.0f %.0f %.0f', failures, open, period),
             'PX', string.format('%.0f', math.ceil(math.max(open - now, 0) / 1000) + remembered))
end

local probe = tonumber(ARGV[3])
failed(KEYS[1], probe % 4 >= 2, true)
if ARGV[4] == '1' then
  redis.call('SADD', KEYS[3], ARGV[5])
  redis.call('PEXPIRE', KEYS[3], remembered)
  failed(KEYS[2], probe >= 4, redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[7]))
end
return 0
