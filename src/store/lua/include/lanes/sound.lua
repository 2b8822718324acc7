-- include: lanes/undo lanes/pages
-- What has to hold of each lane, blocker, flow and lease after every script (docs/lanes.md). Asked by audit_lanes, and once more by
-- mend_lanes. Every function says whether something is wrong. Members that are no text are named by hexadecimal digits.
local STRAY, LANE, BUSY, BLOCKER, LENT = RUST.FAULT_STRAY, RUST.FAULT_LANE, RUST.FAULT_BUSY, RUST.FAULT_BLOCKER, RUST.FAULT_LENT
local TURN, HELD, FLIGHT, HELD_KEYS = RUST.FAULT_TURN, RUST.FAULT_HELD, RUST.FAULT_FLIGHT, RUST.FAULT_HELD_KEYS
-- Calls in flight, or blockers, that one call counts at most.
local COUNTED_MAX = 20000
local LENT_BYTES, HELD_LANE_BYTES, HELD_LIMIT_BYTES = 23, 8, 15

-- The head of a lane; nil: there is none that can be read.
local function head_of(lane)
  local raw = #lane == 8 and rc('HGET', K.heads, lane)
  if not raw or #raw ~= HEAD_BYTES or not string.find('opbf', string.sub(raw, 1, 1), 1, true) then return nil end
  return string.byte(raw, 4) <= 9 and head_unpack(raw) or nil
end

local function has_rest(lane) return #with_prefix(K.rest, lane, 1) > 0 end

local function limit_of(blocker) return structure.limit_of[string.sub(blocker, 1, 1)] end

-- The lane cannot be read, does not stand where its head says, or does not know of those behind its head.
local function lane_is_wrong(lane)
  local h = head_of(lane)
  if not h or (not h.more and has_rest(lane)) then return true end
  if h.state == 'o' then return not rc('ZSCORE', K.open, open_member(lane, h)) end
  if h.state ~= 'p' then return not h.is_ordered end
  local limit = limit_of(h.blocker)
  local holds_lanes = string.sub(h.blocker, 1, 1) ~= ORDER and not (limit and limit.is_of_flow)
  return not holds_lanes or not rc('ZSCORE', K.parked, parked_member(lane, h))
end

-- The lane of order is busy for a message that is not on its way, or it is free and no claim would ever go on with it.
local function lane_is_stuck(lane)
  local h = head_of(lane)
  if not h or h.state == 'o' or h.state == 'p' then return false end
  local is_waited_for = rc('ZSCORE', K.waits, ORDER .. lane) ~= false
  if h.state == 'f' then return not is_waited_for end
  local record, s = message_of(h.ulid)
  -- Nobody knows what a message is doing that cannot be read.
  if not s then return not record end
  if s.state == 'L' then return false end
  if s.state == 'U' then return structure.stall_ms > 0 and not is_waited_for end
  if s.state == 'A' then return not structure.until_final end
  -- One that waits and stands nowhere is missed by the audit of the records.
  return s.state ~= 'w' or rc('ZSCORE', K.rest, lane .. place_of(record, s) .. h.ulid) ~= false
end

-- What a lease has to give back belongs to a message that is not leased, or cannot be read; or a lane is busy for a message that is
-- leased, and its lease does not say so.
local function held_is_wrong(ulid)
  local raw = rc('HGET', K.held, ulid)
  local record, s = message_of(ulid)
  if raw and (#raw < HELD_LANE_BYTES or (#raw - HELD_LANE_BYTES) % HELD_LIMIT_BYTES ~= 0) then return true end
  if not s then return raw ~= false and not record end
  if s.state ~= 'L' then return raw ~= false end
  local lane, is_ordered = lane_of(structure, s, keys_of(record))
  local h = is_ordered and head_of(lane)
  return h and h.state == 'b' and h.ulid == ulid and (not raw or string.sub(raw, 1, 8) ~= lane) or false
end

-- A member of `open`, `parked` or `rest` that belongs to no lane, or whose lane stands elsewhere.
local function is_stray(name, member)
  if name == 'rest' then
    local h = #member == 44 and head_of(string.sub(member, 1, 8))
    if not h then return true end
    local is_head = (h.state == 'o' or h.state == 'p') and h.ulid == string.sub(member, 19)
    return is_head and h.place == string.sub(member, 9, 18)
  end
  local lane = string.sub(member, name == 'open' and 20 or 29)
  local h = head_of(lane)
  if not h then return true end
  if name == 'open' then return h.state ~= 'o' or open_member(lane, h) ~= member end
  return h.state ~= 'p' or parked_member(lane, h) ~= member
end

-- A blocker is looked at by no claim although it holds something, holds nothing although claims look at it, or waits for calls
-- to end while none is in flight. That of a lane of order never waits for a call.
local function blocker_is_wrong(blocker)
  local moment_us = moment_of(rc('ZSCORE', K.waits, blocker))
  if #blocker ~= 9 then return moment_us ~= nil end
  if string.sub(blocker, 1, 1) == ORDER then
    local h = moment_us and head_of(string.sub(blocker, 2))
    local may_wait = h and moment_us ~= math.huge and (h.state == 'f' or (h.state == 'b' and structure.stall_ms > 0))
    return moment_us ~= nil and not may_wait
  end
  local limit = limit_of(blocker)
  local waits_for_nobody = moment_us == math.huge and tonumber(rc('HGET', K.flight, blocker) or 0) <= 0
  if limit and limit.is_of_flow then return waits_for_nobody end
  return waits_for_nobody or (moment_us ~= nil) ~= has_parked(blocker)
end

-- Nobody looks after the lane that a blocker has lent, or that lane is not open, or not one of its own.
local function lent_is_wrong(blocker)
  local raw = rc('HGET', K.lent, blocker)
  if not raw then return false end
  if #raw ~= LENT_BYTES or not rc('ZSCORE', K.waits, blocker) then return true end
  local lane = string.sub(raw, 1, 8)
  if lane == NONE then return false end
  local h = head_of(lane)
  if not h or h.state ~= 'o' then return true end
  local record = record_of(h.ulid)
  if not record or not record_is_readable(record) then return false end
  for _, own in ipairs(blockers_of(structure, keys_of(record))) do
    if own == blocker then return false end
  end
  return true
end

local function is_held(flow)
  for _, limit in ipairs(structure.of_flows) do
    if rc('ZSCORE', K.waits, limit.id .. flow) then return true end
  end
  return false
end

-- Whether a flow has to have a turn in a level.
local function has_to_turn(flow, level, flow_is_held)
  return level < structure.levels and not flow_is_held and #flow == 8 and has_open_lane(flow, level)
end

-- A flow has a turn without an open lane, or none with one; or its tags disagree.
local function flow_is_wrong(flow)
  local flow_is_held, tag = is_held(flow), nil
  for level = 0, 9 do
    local here = rc('ZSCORE', TURNS[level], flow)
    if (here ~= false) ~= has_to_turn(flow, level, flow_is_held) then return true end
    if here and tag and here ~= tag then return true end
    tag = here or tag
  end
  return tag ~= nil and (ahead(tonumber(tag)) >= WRAP / 2 or rc('ZSCORE', K.tags, flow) ~= false)
end

-- How many calls in flight the leases name of each blocker; nil: more than one call may count.
local function calls_by_leases()
  if rc('HLEN', K.held) > COUNTED_MAX then return nil end
  local calls, held = {}, rc('HGETALL', K.held)
  for i = 2, #held, 2 do
    local raw = held[i]
    for at = HELD_LANE_BYTES + 1, #raw - HELD_LIMIT_BYTES + 1, HELD_LIMIT_BYTES do
      local blocker, _, end_minute = struct.unpack('>c9HI4', raw, at)
      if end_minute == 0 then calls[blocker] = (calls[blocker] or 0) + 1 end
    end
  end
  return calls
end

-- How many keys each limit holds, by its byte; nil: more than one call may count.
local function blockers_counted()
  if rc('ZCARD', K.waits) > COUNTED_MAX then return nil end
  local counts = {}
  for _, blocker in ipairs(rc('ZRANGE', K.waits, 0, -1)) do
    local id = string.byte(blocker) or 0
    counts[id] = (counts[id] or 0) + 1
  end
  return counts
end
