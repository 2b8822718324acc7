-- include: shard
-- The limits of a queue over all nodes (the twin of domain/limit). All of them must let a call pass, and then all take its
-- units together: what one limit holds takes nothing of the others.
--
-- They come as text, a line for each:
--   rate NAME UNIT PERIOD_US BURST              one unit each PERIOD_US
--   quota NAME UNIT UNITS START_MS NEXT_MS END_MS   UNITS from START_MS to NEXT_MS, and again from NEXT_MS to END_MS
-- UNIT says what a call takes: `calls` is 1 of a batch and the cost of a single message, `messages` the costs of all that
-- it carries. The periods are those in which the caller's clock lies and the next one: a slot may lie in either.
--
-- A rate is paced by GCRA: it keeps the arrival time of the next unit. It passes when there is room for one unit, and then
-- takes all of them; what is more is a debt. A quota counts, and passes when all units fit.
--
-- State is kept in the meta hash under the name. Of the rate `rate`: 'tat_us', the arrival time, as programs before stacked
-- limits know it. Of other rates: 'limit:NAME' = 'ARRIVAL_US MINUTE UNITS UNITS_BEFORE', units of that minute and of the one
-- before. Of a rate in debt: 'debt:NAME' = 'ARRIVAL_US SLOT_US PERIOD_US'. Of a quota: 'limit:NAME' = 'START_MS END_MS USED'
-- twice. A number of one kind is never read as one of the other: the fields of a rate hold a point, those of a quota none.
local OWN_RATE = 'rate'

local function limit_field(name, is_rate)
  if is_rate and name == OWN_RATE then return 'tat_us' end
  return 'limit:' .. name
end

-- An arrival time further ahead than any node reaches is a debt, or a leftover of a clock that stepped back or of a slower
-- rate. A debt stays as many units as it was; of a leftover a whole burst stays. What takes its place is kept, or it would run
-- ahead of every later call as well. This call's own reach is no measure: what a node further away holds would be granted
-- again.
local function arrival_that_counts(limit, kept_us, horizon_us)
  local reach_us = now_us + RUST.LEAD_US_FURTHEST + horizon_us
  local furthest_us = reach_us + limit.burst * limit.period_us
  if kept_us <= furthest_us then return kept_us end
  local arrival, slot, period = string.match(rc('HGET', K.meta, 'debt:' .. limit.name) or '', '^(%S+) (%S+) (%S+)$')
  if tonumber(arrival) == kept_us then
    local from_us, units = math.min(tonumber(slot), reach_us), (kept_us - tonumber(slot)) / tonumber(period)
    if tonumber(slot) <= reach_us and tonumber(period) == limit.period_us then return kept_us end
    furthest_us = math.max(furthest_us, math.ceil((from_us + units * limit.period_us) * 4) / 4)
    limit.debt = string.format('%.2f %.2f %.2f', furthest_us, from_us, limit.period_us)
  end
  limit.is_changed = true
  return furthest_us
end

-- A rate as it stands: moments near 2^50 are multiples of a quarter, and so is the period, rounded up, or the error of each
-- sum would add up to a faster rate.
local function rate_read(limit, kept, horizon_us)
  limit.period_us, limit.burst = math.ceil(tonumber(limit.a) * 4) / 4, tonumber(limit.b)
  limit.tolerance_us = (limit.burst - 1) * limit.period_us
  local arrival, minute, units, before = string.match(kept or '', '^(%d+%.?%d*) ?(%d*) ?(%d*) ?(%d*)$')
  if limit.name ~= OWN_RATE and not string.find(arrival or '', '.', 1, true) then arrival = nil end
  limit.minute, limit.in_minute = tonumber(minute) or 0, { tonumber(units) or 0, tonumber(before) or 0 }
  limit.arrival_us = arrival_that_counts(limit, tonumber(arrival or 0), horizon_us)
end

-- A quota as it stands. What was counted in periods with other boundaries (of another zone, or of another version of the
-- zone's rules) is counted once: in the period in which its own began, or in the first if that has not ended.
local function quota_read(limit, kept)
  limit.units, limit.used = tonumber(limit.a), { 0, 0 }
  limit.from = { tonumber(limit.b), tonumber(limit.c), tonumber(limit.d) }
  if string.find(kept or '', '.', 1, true) then return end
  for start_ms, end_ms, used in string.gmatch(kept or '', '(%d+) (%d+) (%d+)') do
    if tonumber(end_ms) > limit.from[1] then
      local at = tonumber(start_ms) < limit.from[2] and 1 or 2
      limit.used[at] = limit.used[at] + tonumber(used)
    end
  end
end

local function limits_read(text, horizon_us)
  local limits, fields = {}, {}
  for kind, name, unit, a, b, c, d in string.gmatch(text, '(%l+) (%S+) (%l+) (%S+) (%S+) ?(%S*) ?(%S*)\n') do
    local limit = { name = name, is_rate = kind == 'rate', by_message = unit == 'messages', a = a, b = b, c = c, d = d }
    limits[#limits + 1], fields[#fields + 1] = limit, limit_field(limit.name, limit.is_rate)
  end
  local kept = #fields > 0 and rc('HMGET', K.meta, unpack(fields)) or {}
  for i, limit in ipairs(limits) do
    if limit.is_rate then rate_read(limit, kept[i], horizon_us) else quota_read(limit, kept[i]) end
  end
  return limits
end

-- In which of its two periods a quota counts a slot; 3: in a later one. A clock that has stepped back counts in the first.
local function period_of(quota, slot_us)
  for at = 1, 2 do
    if slot_us < quota.from[at + 1] * 1000 then return at end
  end
  return 3
end

-- The first moment from from_us on at which a quota has room for so many units; and false where it lies behind the two
-- periods that are known.
local function quota_slot(quota, from_us, units)
  local at = period_of(quota, from_us)
  while at < 3 and quota.used[at] + units > quota.units do
    at, from_us = at + 1, quota.from[at + 1] * 1000
  end
  return from_us, at < 3
end

-- The slot of a call that takes so many units: the first moment from from_us on at which every limit lets it pass; and
-- false where nobody can know yet whether that one will do.
local function limits_slot(limits, from_us, calls, messages)
  local slot_us = from_us
  for _, limit in ipairs(limits) do
    if limit.is_rate then slot_us = math.max(slot_us, limit.arrival_us - limit.tolerance_us) end
  end
  local moved = true
  while moved do
    moved = false
    for _, limit in ipairs(limits) do
      if not limit.is_rate then
        local opens_us, is_known = quota_slot(limit, slot_us, limit.by_message and messages or calls)
        if not is_known then return math.max(slot_us, opens_us), false end
        moved, slot_us = moved or opens_us > slot_us, opens_us
      end
    end
  end
  return slot_us, true
end

-- How many calls of one unit may start from a slot until last_us, at most.
local function limits_most(limits, slot_us, last_us, most)
  for _, limit in ipairs(limits) do
    if limit.is_rate then
      local room_us = last_us + limit.tolerance_us - math.max(limit.arrival_us, slot_us)
      most = math.min(most, math.floor(room_us / limit.period_us) + 1)
    else
      local at, units = period_of(limit, slot_us), 0
      for i = at, 2 do
        if limit.from[i] * 1000 <= last_us then units = units + math.max(0, limit.units - limit.used[i]) end
      end
      most = math.min(most, units)
    end
  end
  return math.max(1, most)
end

-- Whether a call that has its slot may carry one more message of this cost: rates have let it pass, quotas count.
local function limits_fit(limits, slot_us, cost)
  for _, limit in ipairs(limits) do
    if not limit.is_rate and limit.by_message then
      local at = period_of(limit, slot_us)
      if at == 3 or limit.used[at] + cost > limit.units then return false end
    end
  end
  return true
end

local function minute_count(limit, units)
  local minute = math.floor(now_ms / 60000)
  if minute ~= limit.minute then
    limit.in_minute = { 0, limit.minute == minute - 1 and limit.in_minute[1] or 0 }
    limit.minute = minute
  end
  limit.in_minute[1] = limit.in_minute[1] + units
end

-- Takes the units of a call that starts in this slot.
local function limits_take(limits, slot_us, calls, messages)
  for _, limit in ipairs(limits) do
    local units = limit.by_message and messages or calls
    if units > 0 then
      limit.is_changed = true
      if limit.is_rate then
        limit.arrival_us = math.max(limit.arrival_us, slot_us) + units * limit.period_us
        if units > 1 then
          limit.debt = string.format('%.2f %.2f %.2f', limit.arrival_us, slot_us, limit.period_us)
        end
        minute_count(limit, units)
      else
        local at = period_of(limit, slot_us)
        limit.used[at] = limit.used[at] + units
        limit.taken = limit.taken or { 0, 0 }
        limit.taken[at] = limit.taken[at] + units
      end
    end
  end
end

-- Gives units back to the quotas, of a call that surely did not start. A rate takes nothing back, or two calls would come
-- closer than it allows.
local function limits_give_back(limits, slot_us, calls, messages)
  for _, limit in ipairs(limits) do
    local units = limit.by_message and messages or calls
    local at = not limit.is_rate and slot_us >= limit.from[1] * 1000 and period_of(limit, slot_us) or 3
    if at < 3 and units > 0 then
      limit.is_changed = true
      limit.used[at] = math.max(0, limit.used[at] - units)
      limit.taken = limit.taken or { 0, 0 }
      limit.taken[at] = limit.taken[at] - units
    end
  end
end

-- What a node has started of a quota, under its name: after a rollback it tells what Redis has forgotten of it (see recover).
local function share_field(node, limit) return node .. ':limit:' .. limit.name end

local function share_save(node, limit)
  local kept = { a = limit.a, b = limit.b, c = limit.c, d = limit.d }
  quota_read(kept, rc('HGET', K.claims, share_field(node, limit)))
  for at = 1, 2 do kept.used[at] = math.max(0, kept.used[at] + limit.taken[at]) end
  rc('HSET', K.claims, share_field(node, limit), string.format('%s %s %d %s %s %d', limit.b, limit.c, kept.used[1], limit.c,
    limit.d, kept.used[2]))
end

-- Raises a quota by what a node has started in a period and Redis does not know any more.
local function quota_raise(limit, node, start_ms, end_ms, units)
  for at = 1, 2 do
    if tonumber(start_ms) == limit.from[at] and tonumber(end_ms) == limit.from[at + 1] then
      local known = { a = limit.a, b = limit.b, c = limit.c, d = limit.d }
      quota_read(known, rc('HGET', K.claims, share_field(node, limit)))
      local lacks = units - known.used[at]
      if lacks > 0 then
        limit.is_changed, limit.taken = true, limit.taken or { 0, 0 }
        limit.used[at], limit.taken[at] = limit.used[at] + lacks, limit.taken[at] + lacks
      end
    end
  end
end

-- Writes what has changed. node: whose calls they are.
local function limits_save(limits, node)
  local values = {}
  for _, limit in ipairs(limits) do
    if limit.is_changed then
      local n, text = #values, nil
      if not limit.is_rate then
        text = string.format('%s %s %d %s %s %d', limit.b, limit.c, limit.used[1], limit.c, limit.d, limit.used[2])
        if limit.taken and node then share_save(node, limit) end
      elseif limit.name == OWN_RATE then
        text = string.format('%.2f', limit.arrival_us)
      else
        local in_minute = limit.in_minute
        text = string.format('%.2f %d %d %d', limit.arrival_us, limit.minute, in_minute[1], in_minute[2])
      end
      values[n + 1], values[n + 2] = limit_field(limit.name, limit.is_rate), text
      if limit.debt then values[n + 3], values[n + 4] = 'debt:' .. limit.name, limit.debt end
    end
  end
  if #values > 0 then rc('HSET', K.meta, unpack(values)) end
end
