-- What limits have let pass. A blocker is a limit and a key of it (9 bytes); a limit without `per` has the empty key.
--
-- `arrivals`: sorted set, blocker by theoretical arrival time, us (GCRA). `used`: sorted set, blocker by the minute in which
-- the period ends, times 2^27, plus the units of it. `flight`: hash, blocker → calls in flight.
local PERIOD = 2 ^ 27
local known, changed = { r = {}, q = {}, c = {} }, { r = {}, q = {}, c = {} }

local function state_of(limit, blocker)
  local of_kind = known[limit.kind]
  if of_kind[blocker] then return of_kind[blocker] end
  local state
  if limit.kind == 'r' then
    state = tonumber(rc('ZSCORE', K.arrivals, blocker) or 0)
  elseif limit.kind == 'q' then
    local score = tonumber(rc('ZSCORE', K.used, blocker) or 0)
    state = math.floor(score / PERIOD) == limit.end_minute and score % PERIOD or 0
  else
    state = tonumber(rc('HGET', K.flight, blocker) or 0)
  end
  of_kind[blocker] = state
  return state
end

-- When these units pass: a moment, or infinity: when a call ends.
local function opens_at(limit, blocker, units)
  local state = state_of(limit, blocker)
  if limit.kind == 'r' then return math.max(now_us, state - limit.tolerance_us) end
  if limit.kind == 'c' then return state < limit.a and now_us or math.huge end
  -- What is more than the whole quota is looked at again in each period: it may have been raised.
  return state + units <= limit.a and now_us or limit.end_us
end

local function set_state(limit, blocker, state)
  known[limit.kind][blocker], changed[limit.kind][blocker] = state, limit
end

local function take_units(limit, blocker, slot_us, cost)
  local state = state_of(limit, blocker)
  if limit.kind == 'r' then
    set_state(limit, blocker, math.max(state, slot_us) + cost * limit.a)
  else
    set_state(limit, blocker, state + (limit.kind == 'q' and cost or 1))
  end
end

local function zadd_all(key, list)
  for from = 1, #list, 1000 do rc('ZADD', key, unpack(list, from, math.min(from + 999, #list))) end
end

local function limits_write()
  local list = {}
  for blocker in pairs(changed.r) do
    list[#list + 1], list[#list + 2] = text(known.r[blocker]), blocker
  end
  zadd_all(K.arrivals, list)
  list = {}
  for blocker, limit in pairs(changed.q) do
    list[#list + 1], list[#list + 2] = string.format('%.0f', limit.end_minute * PERIOD + known.q[blocker]), blocker
  end
  zadd_all(K.used, list)
  for blocker in pairs(changed.c) do
    local calls = known.c[blocker]
    if calls > 0 then rc('HSET', K.flight, blocker, calls) else rc('HDEL', K.flight, blocker) end
  end
  changed = { r = {}, q = {}, c = {} }
end

-- What is as good as nothing goes: full bursts, ended periods.
local function limits_prune(most)
  local idle = #rc('ZRANGE', K.arrivals, '-inf', text(now_us), 'BYSCORE', 'LIMIT', 0, most)
  if idle > 0 then rc('ZREMRANGEBYRANK', K.arrivals, 0, idle - 1) end
  local ended = string.format('%.0f', (math.floor(now_us / 60000000) + 1) * PERIOD - 1)
  idle = #rc('ZRANGE', K.used, '-inf', ended, 'BYSCORE', 'LIMIT', 0, most)
  if idle > 0 then rc('ZREMRANGEBYRANK', K.used, 0, idle - 1) end
end
