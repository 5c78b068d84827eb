-- What core/limits.py decides, done in Redis at once for all limits of a key and its team.
--
-- KEYS: the hash of the key, and that of its team if it has one; last the marker, which is there as
--   long as Redis has not forgotten what it was told of days and months.
-- ARGV: "charge", "refund", "peek" or "seed"; "told" where the marker must be there, and "" where it
--   need not; the time in milliseconds ("" takes the server's);
--   then in one text with spaces between, for each limit: the number of its hash, its unit, its
--   period, the limit, how much, and, of a refund, what was held right after the charge and as of
--   when; of a seed, 0 and a time.
-- Gives 1 or 0 (a charge was refused, and nothing charged), the time, and what is held against each
-- limit and as of when; or 2 alone, and does nothing, where the marker is missing. All numbers are whole and below 2^53, which doubles hold exactly.
-- Needs Redis 5 or later: scripts before it may not write once they have asked for the time.

local MINUTE, DAY = 60000, 86400000
local SLACK = 60000 -- milliseconds that an idle hash is kept longer, should the clock go back

local function first_day(number) -- of a month since year 0; see core/limits.py
  local year, month = math.floor((number - 2) / 12), (number - 2) % 12
  return 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * month + 2) / 5) - 719468
end

local function window(period, ms)
  local day = math.floor(ms / DAY)
  if period == 'day' then return day end
  local number = 1970 * 12 + math.floor(day * 12 / 365) + 1
  while first_day(number) > day do number = number - 1 end
  return number
end

local function window_start(period, number)
  return DAY * (period == 'day' and number or first_day(number))
end

local function settled(limit, held, at, now)
  if limit.period == 'minute' then
    held = math.min(held, limit.most * MINUTE) -- as if used up, where the limit was lowered
    return math.max(0, held - limit.most * math.max(0, now - at)), now
  end
  local number = window(limit.period, now)
  if at == number or at == number + 1 then return held, at end
  return 0, number
end

local function without(limit, held, at)
  if limit.period == 'minute' then
    local left = math.max(0, limit.then_held - limit.most * math.max(0, at - limit.then_at))
    return math.max(0, held - math.min(limit.amount * MINUTE, left)), at
  end
  if at ~= limit.then_at then return held, at end
  return math.max(0, held - limit.amount), at
end

local function at_least(limit, held, at)
  local number = window(limit.period, limit.then_at)
  if at > number then return held, at end
  return math.max(at == number and held or 0, limit.amount), number
end

local function idle(limit, now)
  if limit.period == 'minute' then return math.ceil(limit.held / math.max(1, limit.most)) end
  return window_start(limit.period, limit.at + 1) - now
end

if ARGV[2] == 'told' and redis.call('EXISTS', KEYS[#KEYS]) == 0 then return { 2 } end

local what, now = ARGV[1], tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local ROW = '(%d+) (%a+) (%a+) (%d+) (%d+) (%d+) (%d+)'
local limits, allowed = {}, 1
for number, unit, period, most, amount, then_held, then_at in string.gmatch(ARGV[4], ROW) do
  local limit = {
    hash = KEYS[tonumber(number)], name = unit .. ':' .. period, period = period,
    most = tonumber(most), amount = tonumber(amount),
    then_held = tonumber(then_held), then_at = tonumber(then_at),
  }
  local kept = redis.call('HMGET', limit.hash, limit.name .. ':held', limit.name .. ':at')
  local held, at = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0
  if what == 'seed' then
    held, at = at_least(limit, held, at)
  else
    held, at = settled(limit, held, at, now)
  end
  limit.before, limit.at, limit.ahead = held, at, (tonumber(kept[2]) or 0) > now
  if what == 'charge' then
    local unit = limit.period == 'minute' and MINUTE or 1
    held = held + limit.amount * unit
    if limit.amount > 0 and held > limit.most * unit then allowed = 0 end
  elseif what == 'refund' then
    held, at = without(limit, held, at)
  end
  limit.held = held
  limits[#limits + 1] = limit
end

local answer, needed = { allowed, now }, {}
for _, limit in ipairs(limits) do
  if allowed == 0 then limit.held = limit.before end
  answer[#answer + 1] = limit.held
  answer[#answer + 1] = limit.at
  -- A clock that went back is noted even by a refused charge: time goes on from there.
  if what ~= 'peek' and (allowed == 1 or limit.ahead) then
    redis.call('HSET', limit.hash, limit.name .. ':held', limit.held, limit.name .. ':at', limit.at)
    needed[limit.hash] = math.max(needed[limit.hash] or 1, idle(limit, now) + SLACK)
  end
end
for hash, ms in pairs(needed) do
  if redis.call('PTTL', hash) < ms then redis.call('PEXPIRE', hash, ms) end
end
return answer
