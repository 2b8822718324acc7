-- include: lanes/undo lanes/granted lanes/own
-- Limits by key, as a claim asks them. The claim has `keys_in_force`: the number of the structure, then a line for each limit by key:
--   rate NAME PERIOD_US BURST
--   quota NAME UNITS START_MS NEXT_MS END_MS PERIOD
--   concurrency NAME CALLS
-- and behind it, while an override holds for the limit: `cap VALUE` or `above VALUE`, a period, units or calls (see own).
-- and the slots that the home slot granted, if it did (see granted).
-- A blocker is the byte of a limit and the hash of a key.
--
--   arrivals   sorted set, blocker by theoretical arrival time, us (GCRA)
--
-- A rate passes when there is room for one unit, and then takes all of them; a quota passes when all units fit. See undo for quotas
-- and calls in flight. What no slot may reach past: the end of what the claim looks ahead, and of the period of a quota.
-- Nobody waits for a slot where neither a rate nor a quota gives one: what is taken starts at once.
local has_slots = limit_lines ~= '' or granted ~= nil
for _, limit in ipairs(structure.limits) do has_slots = has_slots or limit.kind ~= 'concurrency' end
local first_us = has_slots and now_us + lead_us or now_us
local horizon_end_us = math.max(has_slots and first_us + horizon_us or first_us, granted_slots[#granted_slots] or 0)
local last_us = before_us > 0 and math.min(horizon_end_us, before_us - 1) or horizon_end_us
local COST_MAX = 10000
-- From when on all slots lie in the periods by which quotas are counted here; 0: all that are asked for do.
local periods_began_us = 0
local known, changed = { rate = {}, quota = {}, concurrency = {} }, { rate = {}, quota = {}, concurrency = {} }

-- How far apart this rate lets units start. terms: the limit, or what it is for one key.
local function pace(terms, period_us)
  terms.period_us = math.ceil(period_us * 4) / 4
  terms.tolerance_us = (terms.burst - 1) * terms.period_us
  terms.furthest_us = horizon_end_us + RUST.LEAD_US_FURTHEST + (terms.burst + COST_MAX) * terms.period_us
end

local allowances = {}
for kind, name, said in string.gmatch(keys_in_force, '(%l+) (%S+) ([^\n]+)\n') do allowances[kind .. ' ' .. name] = said end
for _, limit in ipairs(structure.limits) do
  local allowance = allowances[limit.kind .. ' ' .. limit.name] or ''
  local said, cap_word, cap = string.match(allowance, '^(.-) (%l+) (%S+)$')
  if cap_word == 'cap' or cap_word == 'above' then
    allowance, limit.cap, limit.cap_is_above = said, tonumber(cap), cap_word == 'above'
  end
  local a, b, c, d, period = string.match(allowance, '^(%S+) ?(%S*) ?(%S*) ?(%S*) ?(%S*)$')
  if limit.kind == 'rate' then
    limit.burst = tonumber(b)
    pace(limit, tonumber(a))
  elseif limit.kind == 'quota' then
    local end_ms = first_us < tonumber(c) * 1000 and tonumber(c) or tonumber(d)
    limit.units, limit.end_minute, limit.end_us = tonumber(a), math.ceil(end_ms / 60000), end_ms * 1000
    limit.period = period
    last_us = math.min(last_us, limit.end_us - 1)
    limit.start_us = tonumber(end_ms == tonumber(c) and b or c) * 1000
    if end_ms == tonumber(d) then periods_began_us = math.max(periods_began_us, limit.start_us) end
  else
    limit.calls = tonumber(a)
  end
end

-- What a limit allows this blocker: what its key was given at run time, or what the claim brought.
local function terms_of(limit, blocker)
  if not in_force[6] then return limit end
  local terms = own_terms[blocker]
  if not terms then
    terms = own_terms_read(limit, blocker, pace) or limit
    own_terms[blocker] = terms
  end
  return terms
end

local function limit_state(limit, blocker)
  local of_kind = known[limit.kind]
  if of_kind[blocker] then return of_kind[blocker] end
  local state
  if limit.kind == 'rate' then
    -- What no burst and no cost explain is a leftover of a clock that has stepped back, or of a slower rate.
    local terms = terms_of(limit, blocker)
    state = math.min(tonumber(rc('ZSCORE', K.arrivals, blocker) or 0), terms.furthest_us)
    -- After a rollback no key has a burst: what it had started may be forgotten.
    if in_force[4] then state = math.max(state, tonumber(in_force[4]) + terms.tolerance_us) end
  elseif limit.kind == 'quota' then
    local score = tonumber(rc('ZSCORE', K.used, blocker) or 0)
    state = math.floor(score / PERIOD_UNITS) == limit.end_minute and score % PERIOD_UNITS or 0
  else
    state = tonumber(rc('HGET', K.flight, blocker) or 0)
  end
  of_kind[blocker] = state
  return state
end

-- From when on these units pass; infinity: when a call ends.
local function opens_at(limit, blocker, units)
  local state, terms = limit_state(limit, blocker), terms_of(limit, blocker)
  if limit.kind == 'rate' then return state - terms.tolerance_us end
  if limit.kind == 'concurrency' then return state < terms.calls and 0 or math.huge end
  -- What is more than the whole quota is looked at again in each period: the quota may have been raised.
  return state + units <= terms.units and 0 or limit.end_us
end

unit_opens_at = function(blocker)
  local limit = structure.limit_of[string.sub(blocker, 1, 1)]
  return limit and opens_at(limit, blocker, 1) or front_us
end

local function units_take(limit, blocker, slot_us, cost)
  local state = limit_state(limit, blocker)
  if limit.kind == 'rate' then
    -- So much later than this rate allows it the slots of the whole queue may make a call, and nothing of the rate is lost.
    state = math.max(state, slot_us - RUST.LATE_BY_QUEUE_US) + cost * terms_of(limit, blocker).period_us
  elseif limit.kind == 'quota' then state = state + cost
  else state = state + 1 end
  known[limit.kind][blocker], changed[limit.kind][blocker] = state, limit
end

-- Takes the units of a message that starts in this slot. Returns what its lease has to remember of it (see undo).
local function all_units_take(keys, slot_us, cost)
  local undo = {}
  for _, limit in ipairs(structure.limits) do
    local blocker = limit.id .. (keys[limit.per] or NONE)
    units_take(limit, blocker, slot_us, cost)
    if limit.kind ~= 'rate' then undo[#undo + 1] = struct.pack('>c9HI4', blocker, cost, limit.end_minute or 0) end
  end
  return table.concat(undo)
end

-- The limit by key that opens last of those that do not let so many units start now: its blocker, and when it opens.
local function refused(flow, blockers, units)
  local worst, worst_us
  local function ask(limit, blocker)
    local opens_us = opens_at(limit, blocker, units)
    if opens_us > front_us and (not worst or opens_us > worst_us) then worst, worst_us = blocker, opens_us end
  end
  for i, limit in ipairs(structure.of_lanes) do ask(limit, blockers[i]) end
  for _, limit in ipairs(structure.of_flows) do ask(limit, limit.id .. flow) end
  return worst, worst_us
end

local function add_all(key, list)
  for from = 1, #list, 1000 do rc('ZADD', key, unpack(list, from, math.min(from + 999, #list))) end
end

local function limits_write()
  local list = {}
  for blocker in pairs(changed.rate) do list[#list + 1], list[#list + 2] = score_of(known.rate[blocker]), blocker end
  add_all(K.arrivals, list)
  list = {}
  for blocker, limit in pairs(changed.quota) do
    local score = limit.end_minute * PERIOD_UNITS + math.min(known.quota[blocker], PERIOD_UNITS - 1)
    list[#list + 1], list[#list + 2] = string.format('%.0f', score), blocker
  end
  add_all(K.used, list)
  for blocker in pairs(changed.concurrency) do rc('HSET', K.flight, blocker, known.concurrency[blocker]) end
end
