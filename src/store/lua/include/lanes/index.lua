-- include: lanes/touched state events lanes/structure
-- The index of lanes, as scripts of a queue with keys meet it (docs/lanes.md). Messages come into it and leave it where they come
-- into the ready lists and leave them in other queues. What a call changes is noted first, and done when it writes: then records and
-- states stand as the call leaves them.
local in_force = rc('HMGET', K.meta, 'structure', 'structure_was', 'revalue', 'rates_from', 'key_weights', 'key_limits')
local structure = structure_read(in_force[1] or '')
-- The structure before, while what stood by it moves over.
local structure_before = in_force[2] and structure_read(in_force[2]) or nil
local is_laned = structure.has_lanes
local entering, leased_until_now, ended, unstarted, stale_met = {}, {}, {}, {}, 0

local lanes
local function lanes_here()
  if lanes then return lanes end
  -- include: lanes/undo
  lanes = {
    enter = enter, leave = leave_lane, lane_ends = lane_ends, lease_ends = lease_ends, seat_of = seat_of,
    becomes_uncertain = function(of, ulid, record)
      local value = keys_of(record)[of.order_by]
      if value then holder_leaves(lane_of_order(of.order_by, value), ulid, { state = 'U' }) end
    end,
    gives_back = function(record, s)
      local flow = seat_of(record, s).flow
      flow_moves(flow, -share_of(flow, record_cost(record)))
    end,
    open_before = rc('ZCARD', K.open),
    save = function()
      flows_save()
      local is_due = look_again
      look_again = false
      return is_due
    end,
  }
  return lanes
end

-- A message that waits leaves its lane, if it is in one; whether it was.
local function leave_lanes(ulid, s)
  local record = rc('HGET', K.records, ulid)
  if not record or not record_is_readable(record) then return false end
  local here = lanes_here()
  return (is_laned and here.leave(structure, ulid, record, s))
    or (structure_before ~= nil and here.leave(structure_before, ulid, record, s))
end

-- A message has ended, or waits for nothing any more that its lane has to wait for; or, if it became uncertain without a lease, its lane
-- waits from now on for as long as the lane of an uncertain message does.
local function end_lane(ulid, record, is_uncertain)
  if not structure.order_by then return end
  ended[#ended + 1] = { ulid = ulid, record = record or rc('HGET', K.records, ulid), is_uncertain = is_uncertain }
end

local function end_leases()
  local ulids, here = leased_until_now, nil
  leased_until_now = {}
  local held = hmget(K.held, ulids)
  local states
  for i, ulid in ipairs(ulids) do
    if held[i] then
      here = here or lanes_here()
      states = states or load_states(ulids)
      here.lease_ends(ulid, held[i], states[i], not unstarted[ulid])
    end
  end
end

local function bring_in()
  local entries, ulids, here = entering, {}, lanes_here()
  entering = {}
  for i, entry in ipairs(entries) do ulids[i] = string.sub(entry, 1, 26) end
  local records, states = load(ulids)
  for i, entry in ipairs(entries) do
    local ulid, record, s = ulids[i], records[i], states[i]
    if s and s.state == 'w' and entry_of(ulid, s) == entry then
      here.enter(ulid, record, s)
      if unstarted[ulid] then here.gives_back(record, s) end
    else
      stale_met = stale_met + 1
    end
  end
end

-- What this call has opened wakes the nodes that sleep.
local function lanes_save()
  local is_due = lanes.save()
  if is_due or (lanes.open_before == 0 and rc('ZCARD', K.open) > 0) then publish('wake', ' 2') end
  lanes.open_before = 1
end

-- From here on a flush also does what has been noted.
local flush_before_lanes = flush

local function flush()
  flush_before_lanes()
  -- What has come to wait, or has left, is counted, where the queue counts it.
  if structure.counts then
    -- include: lanes/backlog
    count_touched()
  end
  if #leased_until_now > 0 then end_leases() end
  for _, message in ipairs(ended) do
    local ends = message.is_uncertain and lanes_here().becomes_uncertain or lanes_here().lane_ends
    if message.record then ends(structure, message.ulid, message.record) end
  end
  ended = {}
  if #entering > 0 then bring_in() end
  unstarted = {}
  if lanes then lanes_save() end
end
