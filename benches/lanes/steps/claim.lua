#!lua
-- claim: takes what may start. Rows: wanted, the token, the end of the lease, ms.
-- include: settings record lanes flows limits index
--
-- Returns: why it ended (0 as many as wanted, 1 a limit of the queue, 2 nothing is open, 3 so much was moved that it has to
-- be asked again, 4 of an order key something older may be due still, ask again), when to ask again, us, or 'inf', how many lanes were moved, then ulid, slot and record of each message.
local wanted, token, deadline_ms = tonumber(ARGV[ROW]), ARGV[ROW + 1], ARGV[ROW + 2]
local budget, moved = 32 + wanted, 0
local taken, states, leases, held = {}, {}, {}, {}

-- From which level on a blocker looks for the lane that it lends: the highest, with aging that with the least due time
-- after aging. Returns how its members begin.
local function level_start(blocker, first)
  if levels == 1 or aging_ms == 0 then return string.sub(first, 1, 10) end
  local best, start, at = nil, nil, first
  while at do
    local level = 9 - string.byte(at, 10)
    local rank = due_of_place(string.sub(at, 19, 28)) - level * aging_ms
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

-- Which of its lanes a blocker lends: of that level the first of the flow after the one whose turn it was; flows that are
-- held are left out. Nil: of the flows that were looked at all are held; also until when.
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

local function lend(blocker, lent)
  local some = with_prefix(K.parked, blocker, 2)
  if #some == 0 then
    rc('ZREM', K.waits, blocker)
    if lent then rc('HDEL', K.lent, blocker) end
    return
  end
  local member, until_us, last = lane_to_lend(blocker, some[1], lent)
  local turn = string.sub(member or last, 11, 18)
  if not member then
    -- Nobody tells when one of these flows goes on before its time: so it is looked at again, at twice the age each time.
    local since_us = lent and string.sub(lent, 1, 8) == NONE and struct.unpack('>I7', lent, 17) or 0
    if since_us == 0 then since_us = now_us end
    lent_any = true
    rc('HSET', K.lent, blocker, NONE .. turn .. struct.pack('>I7', since_us))
    return waits_until(blocker, math.max(last_us + LOOK_US, math.min(until_us, last_us + now_us - since_us)))
  end
  local lane = string.sub(member, 29)
  rc('ZREM', K.parked, member)
  local h = lane_read(lane)
  open_add(lane, h)
  lane_write(lane, h)
  if #some > 1 then
    lent_any = true
    rc('HSET', K.lent, blocker, lane .. turn .. struct.pack('>I7', now_us))
    rc('ZADD', K.waits, text(last_us + LOOK_US), blocker)
  else
    rc('ZREM', K.waits, blocker)
    if lent then rc('HDEL', K.lent, blocker) end
  end
end

-- What was lent and not taken is looked after, at twice the age each time: it goes home where its flow is held, or
-- whoever else could go would wait for it.
local function is_still_lent(blocker, lent)
  local lane = string.sub(lent, 1, 8)
  if lane == NONE then return false end
  local h = lane_read(lane)
  if not h or h.state ~= 'o' then return false end
  if not flow_of(h.flow).held_until_us then
    local age_us = now_us - struct.unpack('>I7', lent, 17)
    rc('ZADD', K.waits, text(last_us + math.max(LOOK_US, age_us)), blocker)
    return true
  end
  open_remove(lane, h)
  parked_add(lane, h, blocker)
  lane_write(lane, h)
  rc('HSET', K.lent, blocker, lent_none(lent))
  return false
end

-- The lane of an order key goes on with its next message.
local function go_on(blocker)
  rc('ZREM', K.waits, blocker)
  local lane = string.sub(blocker, 2)
  local h = lane_read(lane)
  if not h or (h.state ~= 'f' and h.state ~= 'b') then return end
  local place, ulid = rest_first(lane)
  if not place then return lane_drop(lane) end
  local record = rc('HGET', K.records, ulid)
  local keys = keys_of(record)
  local _, _, level, flow = lane_of(record, keys)
  h = { is_ordered = true, more = true, level = level, flow = flow, place = place, ulid = ulid }
  stand(lane, h, blockers_of(keys))
  lane_write(lane, h)
end

-- The blockers whose time has come.
local function lend_due()
  look_again = false
  if moved >= budget then return end
  local due = rc('ZRANGE', K.waits, '-inf', text(last_us), 'BYSCORE', 'LIMIT', 0, budget - moved)
  moved = moved + #due
  for _, blocker in ipairs(due) do
    known_waits[blocker] = nil
    local id = string.sub(blocker, 1, 1)
    local limit = LIMIT_OF[id]
    local lent = limit and not limit.is_of_flow and lent_any and rc('HGET', K.lent, blocker)
    local opens_us = limit and opens_at(limit, blocker, 1)
    if id == ORDER then
      go_on(blocker)
    elseif not (lent and is_still_lent(blocker, lent)) then
      if opens_us and opens_us > last_us then
        rc('ZADD', K.waits, text(opens_us), blocker)
        if limit.is_of_flow then flow_of(string.sub(blocker, 2)).held_until_us = opens_us end
      elseif limit and limit.is_of_flow then
        flow_goes_on(string.sub(blocker, 2))
      else
        lend(blocker, lent)
      end
    end
  end
end

-- The latest moment of the limits by key that do not let so many units pass, and its blocker; else the slot.
local function refused(flow, blockers, units)
  local slot_us, worst, worst_us = now_us, nil, nil
  local function ask(limit, blocker)
    local opens_us = opens_at(limit, blocker, units)
    if opens_us <= last_us then slot_us = math.max(slot_us, opens_us)
    elseif not worst or opens_us > worst_us then worst, worst_us = blocker, opens_us end
  end
  for i, limit in ipairs(OF_LANES) do ask(limit, blockers[i]) end
  for _, limit in ipairs(OF_FLOWS) do ask(limit, limit.id .. flow) end
  return worst, worst_us or slot_us
end

-- The moment of the limits of the queue, and whether so many units may start by them.
local function wide(units)
  local at_us = now_us
  for _, limit in ipairs(LIMITS) do
    if limit.per == '' then at_us = math.max(at_us, opens_at(limit, limit.id .. NONE, units)) end
  end
  return at_us
end

local function lease(ulid, record, h, lane, keys, cost, slot_us)
  local undo = {}
  for i, limit in ipairs(LIMITS) do
    local blocker = limit.id .. (limit.per == '' and NONE or keys[limit.per] or NONE)
    take_units(limit, blocker, slot_us, cost)
    if limit.kind ~= 'r' then undo[#undo + 1] = struct.pack('>c9HI4', blocker, cost, limit.end_minute or 0) end
  end
  if h.is_ordered or #undo > 0 then
    held[#held + 1], held[#held + 2] = ulid, (h.is_ordered and lane or NONE) .. table.concat(undo)
  end
  states[#states + 1], states[#states + 2] = ulid, token
  leases[#leases + 1], leases[#leases + 2] = deadline_ms, ulid
  taken[#taken + 1], taken[#taken + 2], taken[#taken + 3] = ulid, text(slot_us), record
end

-- What becomes of the lane whose head was taken.
local function lane_goes_on(lane, h, more, blockers)
  head_goes(lane, h.place, h.ulid)
  if h.is_ordered then
    open_remove(lane, h, more)
    lents_come_back(lane, blockers)
    h.state = 'b'
    return lane_write(lane, h)
  end
  local place, ulid
  if h.more then place, ulid = rest_first(lane) end
  if not place then
    open_remove(lane, h, more)
    lents_come_back(lane, blockers)
    return lane_drop(lane)
  end
  local blocker, moment_us = refused(h.flow, blockers, 1)
  if blocker and LIMIT_OF[string.sub(blocker, 1, 1)].is_of_flow then
    change_head(lane, h, place, ulid)
    lents_come_back(lane, blockers)
    flow_waits(h.flow, blocker, moment_us)
  elseif blocker then
    open_remove(lane, h, more)
    h.place, h.ulid = place, ulid
    park(lane, h, blocker, moment_us, blockers)
  else
    change_head(lane, h, place, ulid)
    lents_come_back(lane, blockers)
  end
  lane_write(lane, h)
end

-- With order by key, what is due comes first: behind it nothing of its key may start. Returns the due time from which on heads
-- may not be taken yet, because not all that is due has come in.
local function promote()
  if order_by == '' then return nil end
  local now_ms = math.floor(now_us / 1000)
  local due = rc('ZRANGE', K.due, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, budget)
  for _, member in ipairs(due) do
    local ulid = string.sub(member, 1, 26)
    enter(ulid, rc('HGET', K.records, ulid), string.sub(member, 27) == '1')
  end
  if #due == 0 then return nil end
  rc('ZREMRANGEBYRANK', K.due, 0, #due - 1)
  local head_ms = tonumber(rc('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2])
  return head_ms and head_ms <= now_ms and head_ms or nil
end

local code, again_us = 0, math.huge
local not_from_ms = promote()
lend_due()
while #taken < 3 * wanted do
  local wide_us = wide(1)
  if wide_us > last_us then
    code, again_us = 1, wide_us
    break
  end
  if look_again then lend_due() end
  local first = choose()
  -- Where nobody else has a turn, nobody rests.
  if not first and resting_count > 0 then
    flows_wake()
    first = choose()
  end
  if not first then
    code = 2
    break
  end
  local lane, level, flow, more = first.lane, first.level, first.flow, first.more
  local h = lane_read(lane)
  if not_from_ms and h.is_ordered and not place_has_begun(h.place) and due_of_place(h.place) >= not_from_ms then
    code, again_us = 4, now_us
    break
  end
  local record = rc('HGET', K.records, h.ulid)
  local keys, cost = keys_of(record)
  local blockers = blockers_of(keys)
  local blocker, moment_us = refused(flow, blockers, cost)
  if blocker then
    moved = moved + 1
    if LIMIT_OF[string.sub(blocker, 1, 1)].is_of_flow then
      flow_waits(flow, blocker, moment_us)
    else
      open_remove(lane, h, more)
      park(lane, h, blocker, moment_us, blockers)
      lane_write(lane, h)
      flow_refused(flow)
    end
    if moved >= budget then break end
  else
    wide_us = wide(cost)
    if wide_us > last_us then
      code, again_us = 1, wide_us
      break
    end
    lease(h.ulid, record, h, lane, keys, cost, math.max(moment_us, wide_us))
    flow_moves(flow, share_of(flow, cost))
    lane_goes_on(lane, h, more, blockers)
  end
end
if moved >= budget then code = 3 end
if code == 2 then again_us = number(rc('ZRANGE', K.waits, 0, 0, 'WITHSCORES')[2]) or math.huge end

limits_write()
local most = 2 * budget
limits_prune(most)
flows_end(most, code == 2)
for from = 1, #states, 1000 do
  rc('HSET', K.states, unpack(states, from, math.min(from + 999, #states)))
  rc('ZADD', K.leased, unpack(leases, from, math.min(from + 999, #leases)))
end
for from = 1, #held, 1000 do rc('HSET', K.held, unpack(held, from, math.min(from + 999, #held))) end
return { code, text(again_us), moved, unpack(taken) }
