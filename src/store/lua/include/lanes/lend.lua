-- include: lanes/limits lanes/turns
-- The blockers that are due let lanes go on, a bounded number of them in a call. The claim has `budget`.
local budget, moved = 0, 0

-- From which level on a blocker looks for the lane that it lends: the highest, with aging that whose first has the least due time
-- after aging. Returns how its members begin.
local function level_start(blocker, first)
  if structure.levels == 1 or structure.aging_ms == 0 then return string.sub(first, 1, 10) end
  local best, start, at = nil, nil, first
  while at do
    local level = 9 - string.byte(at, 10)
    local rank = due_of_place(string.sub(at, 19, 28)) - level * structure.aging_ms
    if not best or rank < best then best, start = rank, string.sub(at, 1, 10) end
    at = level > 0 and rc('ZRANGE', K.parked, '[' .. blocker .. string.char(10 - level), '(' .. blocker .. '\255', 'BYLEX',
      'LIMIT', 0, 1)[1]
  end
  return start
end

-- The first parked lane of a blocker behind a place in its line; nil: there is none.
local function parked_behind(blocker, member)
  return rc('ZRANGE', K.parked, '(' .. member, '(' .. blocker .. '\255', 'BYLEX', 'LIMIT', 0, 1)[1]
end

-- Which of its lanes a blocker lends: of that level the first of the flow after the one whose turn it was; flows that are held are
-- left out. Nil: all the flows that were looked at are held; then also until when, and the last of them.
local FLOWS_LOOKED_AT_MAX = 8
local function lane_to_lend(blocker, first, lent)
  local start = level_start(blocker, first)
  local member = lent and parked_behind(blocker, start .. string.sub(lent, 9, 16) .. '\255')
  if not member or string.sub(member, 1, 10) ~= start then member = parked_behind(blocker, start) end
  local began, until_us, last = member, math.huge, nil
  for _ = 1, FLOWS_LOOKED_AT_MAX do
    local held_until_us = flow_of(string.sub(member, 11, 18)).held_until_us
    if not held_until_us then return member end
    until_us, last = math.min(until_us, held_until_us), member
    member = parked_behind(blocker, string.sub(member, 1, 18) .. '\255') or first
    if member == began then break end
  end
  return nil, until_us, last
end

-- All the flows that were looked at are held. Nobody tells when one of them goes on before its time, so that the blocker is looked
-- at again, after twice the age each time.
local function wait_for_flows(blocker, lent, until_us, last)
  local since_us = lent and string.sub(lent, 1, 8) == NONE and struct.unpack('>I7', lent, 17) or 0
  if since_us == 0 then since_us = now_us end
  lent_any = true
  rc('HSET', K.lent, blocker, NONE .. string.sub(last, 11, 18) .. struct.pack('>I7', since_us))
  waits_set(blocker, math.max(front_us + LOOK_US, math.min(until_us, front_us + now_us - since_us)))
end

local function lend(blocker, lent)
  local some = with_prefix(K.parked, blocker, 2)
  if #some == 0 then
    waits_remove(blocker)
    if lent then rc('HDEL', K.lent, blocker) end
    return
  end
  local member, until_us, last = lane_to_lend(blocker, some[1], lent)
  if not member then return wait_for_flows(blocker, lent, until_us, last) end
  local lane = string.sub(member, 29)
  rc('ZREM', K.parked, member)
  local h = lane_read(lane)
  if h and h.state == 'p' then
    open_add(lane, h)
    lane_write(lane, h)
  end
  if #some > 1 then
    lent_any = true
    rc('HSET', K.lent, blocker, lane .. string.sub(member, 11, 18) .. struct.pack('>I7', now_us))
    waits_set(blocker, front_us + LOOK_US)
  else
    waits_remove(blocker)
    if lent then rc('HDEL', K.lent, blocker) end
  end
end

-- What was lent and not taken is looked at again, after twice the age each time. It goes back where its flow is held, or whatever
-- else could go would wait for it.
local function is_still_lent(blocker, lent)
  local lane = string.sub(lent, 1, 8)
  if lane == NONE then return false end
  local h = lane_read(lane)
  if not h or h.state ~= 'o' then return false end
  if not flow_of(h.flow).held_until_us then
    local age_us = now_us - struct.unpack('>I7', lent, 17)
    waits_set(blocker, front_us + math.max(LOOK_US, age_us))
    return true
  end
  open_remove(lane, h)
  parked_add(lane, h, blocker)
  lane_write(lane, h)
  rc('HSET', K.lent, blocker, lent_none(lent))
  return false
end

-- A lane of order goes on with its next message.
local function go_on(blocker)
  waits_remove(blocker)
  local lane = string.sub(blocker, 2)
  local h = lane_read(lane)
  if h and (h.state == 'f' or h.state == 'b') then next_head(lane, h) end
end

local function blocker_goes_on(blocker)
  local id = string.sub(blocker, 1, 1)
  if id == ORDER then return go_on(blocker) end
  local limit = structure.limit_of[id]
  if not limit then return lend(blocker, rc('HGET', K.lent, blocker)) end
  local lent = not limit.is_of_flow and lent_any and rc('HGET', K.lent, blocker)
  if lent and is_still_lent(blocker, lent) then return end
  local opens_us = opens_at(limit, blocker, 1)
  if opens_us > front_us then
    waits_set(blocker, opens_us)
    if limit.is_of_flow then flow_of(string.sub(blocker, 2)).held_until_us = opens_us end
  elseif limit.is_of_flow then
    flow_goes_on(string.sub(blocker, 2))
  else
    lend(blocker, lent)
  end
end

-- The limits have other values than before: all that waits is looked at anew, a part of it in each call. How far this has come stands
-- in meta; as long as there is more, a claim that takes nothing asks for another one. A rate that has another value does not hold anything
-- for longer than its burst explains; any other one keeps what is owed to it.
local function look_anew()
  local what, cursor = string.match(in_force[3] or '', '^(%l+):(%d+)$')
  if not what then return end
  local key = what == 'waits' and K.waits or K.arrivals
  local rates = what == 'arrivals' and rc('HGET', K.meta, 'revalue_rates') or ''
  local page = rc('ZSCAN', key, cursor, 'COUNT', budget)
  for i = 1, #page[2], 2 do
    local blocker = page[2][i]
    local limit = structure.limit_of[string.sub(blocker, 1, 1)]
    if what == 'waits' and string.byte(blocker) > 0 then waits_set(blocker, now_us) end
    local has_changed = limit and (rates == '*' or string.find(rates, ' ' .. limit.name .. ' ', 1, true))
    -- A key that has a rate of its own keeps it.
    if has_changed and limit.kind == 'rate' and terms_of(limit, blocker) == limit then
      local furthest_us = horizon_end_us + limit.tolerance_us + limit.period_us
      if tonumber(page[2][i + 1]) > furthest_us then rc('ZADD', K.arrivals, score_of(furthest_us), blocker) end
    end
  end
  in_force[3] = page[1] ~= '0' and what .. ':' .. page[1] or what == 'arrivals' and 'waits:0'
  if in_force[3] then rc('HSET', K.meta, 'revalue', in_force[3]) else rc('HDEL', K.meta, 'revalue') end
end

-- Lets all blockers go on whose moment has come, as far as this call may move.
local function lend_due()
  look_again = false
  if moved >= budget then return end
  local due = rc('ZRANGE', K.waits, '-inf', score_of(front_us), 'BYSCORE', 'LIMIT', 0, budget - moved)
  moved = moved + #due
  for _, blocker in ipairs(due) do blocker_goes_on(blocker) end
end

-- When the first blocker is due; nil: nobody waits for a moment.
local function next_moment()
  return moment_of(rc('ZRANGE', K.waits, 0, 0, 'WITHSCORES')[2])
end
