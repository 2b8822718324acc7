#!lua
-- claim: takes what may start. Rows: wanted, the token, the end of the lease, ms.
-- include: settings record lanes flows limits index
--
-- Returns: why it ended (0 as many as wanted, 1 a limit of the queue, 2 nothing is open, 3 so much was moved that it has to
-- be asked again), when to ask again, us, or 'inf', how many lanes were moved, then ulid, slot and record of each message.
local wanted, token, deadline_ms = tonumber(ARGV[ROW]), ARGV[ROW + 1], ARGV[ROW + 2]
local budget, moved = 64 + wanted, 0
local taken, states, leases, held = {}, {}, {}, {}

-- Which of its lanes a blocker lends: the highest level (with aging: the least due time after aging), in it the flow
-- after the one whose turn it was, of that the first.
local function next_of(blocker, first, lent)
  local start = string.sub(first, 1, 10)
  if levels > 1 and aging_ms > 0 then
    local best, at = nil, first
    while at do
      local level = 9 - string.byte(at, 10)
      local rank = due_of_place(string.sub(at, 19, 31)) - level * aging_ms
      if not best or rank < best then best, start = rank, string.sub(at, 1, 10) end
      at = level > 0 and rc('ZRANGE', K.parked, '[' .. blocker .. string.char(10 - level), '(' .. blocker .. '\255', 'BYLEX',
        'LIMIT', 0, 1)[1]
    end
  end
  if lent then
    local after = start .. string.sub(lent, 9, 16) .. '\255'
    local behind = string.sub(start, 1, 9) .. string.char(string.byte(start, 10) + 1)
    local found = rc('ZRANGE', K.parked, '(' .. after, '(' .. behind, 'BYLEX', 'LIMIT', 0, 1)
    if #found > 0 then return found[1] end
  end
  return start == string.sub(first, 1, 10) and first or with_prefix(K.parked, start, 1)[1]
end

local function lend(blocker)
  local firsts_parked = with_prefix(K.parked, blocker, 2)
  local lent = lent_any and rc('HGET', K.lent, blocker)
  rc('ZREM', K.waits, blocker)
  local member = #firsts_parked > 0 and next_of(blocker, firsts_parked[1], lent)
  if member then
    local lane = string.sub(member, 32)
    rc('ZREM', K.parked, member)
    local h = lane_read(lane)
    open_add(lane, h)
    lane_write(lane, h)
    if #firsts_parked > 1 then
      lent_any = true
      rc('HSET', K.lent, blocker, lane .. string.sub(member, 11, 18))
      return
    end
  end
  if lent then rc('HDEL', K.lent, blocker) end
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
    local id = string.sub(blocker, 1, 1)
    local limit = LIMIT_OF[id]
    local opens_us = limit and opens_at(limit, blocker, 1)
    if id == ORDER then go_on(blocker)
    elseif opens_us and opens_us > last_us then rc('ZADD', K.waits, text(opens_us), blocker)
    else lend(blocker) end
  end
end

-- The latest moment of the limits by key that do not let so many units pass, and its blocker; else the slot.
local function refused(blockers, units)
  local slot_us, worst, worst_us = now_us, nil, nil
  for i, limit in ipairs(KEYED) do
    local opens_us = opens_at(limit, blockers[i], units)
    if opens_us > last_us then
      if not worst or opens_us > worst_us then worst, worst_us = blockers[i], opens_us end
    else
      slot_us = math.max(slot_us, opens_us)
    end
  end
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
  local blocker, moment_us = refused(blockers, 1)
  if blocker then
    open_remove(lane, h, more)
    h.place, h.ulid = place, ulid
    park(lane, h, blocker, moment_us, blockers)
  else
    change_head(lane, h, place, ulid)
    lents_come_back(lane, blockers)
  end
  lane_write(lane, h)
end

local code, again_us = 0, math.huge
lend_due()
while #taken < 3 * wanted do
  local wide_us = wide(1)
  if wide_us > last_us then
    code, again_us = 1, wide_us
    break
  end
  if look_again then lend_due() end
  local first = choose()
  if not first then
    code = 2
    break
  end
  local lane, level, flow, more = first.lane, first.level, first.flow, first.more
  local h = lane_read(lane)
  local record = rc('HGET', K.records, h.ulid)
  local keys, cost = keys_of(record)
  local blockers = blockers_of(keys)
  local blocker, moment_us = refused(blockers, cost)
  if blocker then
    moved = moved + 1
    open_remove(lane, h, more)
    park(lane, h, blocker, moment_us, blockers)
    lane_write(lane, h)
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
local most = 2 * (64 + wanted)
limits_prune(most)
flows_end(most, code == 2)
for from = 1, #states, 1000 do
  rc('HSET', K.states, unpack(states, from, math.min(from + 999, #states)))
  rc('ZADD', K.leased, unpack(leases, from, math.min(from + 999, #leases)))
end
for from = 1, #held, 1000 do rc('HSET', K.held, unpack(held, from, math.min(from + 999, #held))) end
return { code, text(again_us), moved, unpack(taken) }
