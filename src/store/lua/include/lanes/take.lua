-- include: lanes/lend lanes/prune
-- Takes from lanes what may start: the head whose turn it is, one after the other. The claim has `structure`.

-- Of a queue with order what is due comes in before anything is chosen: behind it nothing of its key may start. Returns the due time
-- from which on nothing of an order key may be taken, since not all that is due has come in; nil: all has.
local function bring_in_what_is_due()
  if not structure.order_by or in_doubt then return nil end
  local entries = rc('ZRANGE', K.due, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, budget)
  if #entries == 0 then return nil end
  rc('ZREMRANGEBYRANK', K.due, 0, #entries - 1)
  local ulids = {}
  for i, entry in ipairs(entries) do ulids[i] = string.sub(entry, 1, 26) end
  local records, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    if states[i] and states[i].state == 'w' then enter(ulid, records[i], states[i]) end
  end
  tell_changes(entries, 'r')
  local head_ms = tonumber(rc('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2])
  return head_ms and head_ms <= now_ms and head_ms or nil
end

-- What a node put into the ready lists that did not know of the keys comes in too; what cannot be read is left to the audit. Returns
-- how many entries stood for nothing, and whether there are more entries.
local function bring_in_from_lists(most)
  local stale, left = 0, most
  for band = 9, 0, -1 do
    local entries = left > 0 and rc('LPOP', READY[band], left) or {}
    left = left - #entries
    local ulids = {}
    for i, entry in ipairs(entries) do ulids[i] = string.sub(entry, 1, 26) end
    local records, states = load(ulids)
    for i, ulid in ipairs(ulids) do
      local s = states[i]
      if s and s.state == 'w' and entry_of(ulid, s) == entries[i] then enter(ulid, records[i], s)
      elseif s or not records[i] then stale = stale + 1 end
    end
  end
  return stale, left == 0
end

-- A head that may not start as it is: it has ended, it has expired, its recipient cannot be reached, or nobody can read it. It leaves;
-- whether it did. Behind a head of order that has begun nothing may start: it stays, and whoever claims it puts it off.
local function sets_aside(found, lane, h, record, s)
  if record and record_is_readable(record) and s == false then
    -- What cannot be read leaves the index, or nothing behind it would ever go. The audit finds it.
    head_leaves(lane, h, keys_of(record))
    return true
  end
  if not s or s.state ~= 'w' or place_of(record, s) ~= h.place then
    head_leaves(lane, h, keys_of(record))
    found.stale = found.stale + 1
    return true
  end
  local opens_ms = closed_until and not (h.is_ordered and place_has_begun(h.place)) and closed_until(record)
  if s.expires > 0 and s.expires <= now_ms then
    found.lapsed[#found.lapsed + 1] = { ulid = h.ulid, state = s, record = record }
  elseif opens_ms then
    found.put_off[#found.put_off + 1] = { ulid = h.ulid, state = s, opens_ms = opens_ms }
  else
    return false
  end
  head_leaves(lane, h, keys_of(record))
  return true
end

-- What becomes of the lane whose head was taken.
local function lane_goes_on(lane, h, more, blockers)
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
  local blocker, opens_us = refused(h.flow, blockers, 1)
  local is_of_flow = blocker and structure.limit_of[string.sub(blocker, 1, 1)].is_of_flow
  if blocker and not is_of_flow then
    open_remove(lane, h, more)
    h.place, h.ulid = place, ulid
    parked_add(lane, h, blocker)
    lents_come_back(lane, blockers, true)
    if not is_lent(blocker) then waits_until(blocker, opens_us) end
    return lane_write(lane, h)
  end
  change_head(lane, h, place, ulid)
  lents_come_back(lane, blockers)
  if blocker then flow_waits(h.flow, blocker, opens_us) end
  lane_write(lane, h)
end

-- A limit by key does not let the head start: its flow waits, or its lane is parked.
local function hold_back(lane, h, more, blockers, blocker, opens_us)
  moved = moved + 1
  if structure.limit_of[string.sub(blocker, 1, 1)].is_of_flow then return flow_waits(h.flow, blocker, opens_us) end
  open_remove(lane, h, more)
  parked_add(lane, h, blocker)
  lents_come_back(lane, blockers, true)
  if not is_lent(blocker) then waits_until(blocker, opens_us) end
  lane_write(lane, h)
  flow_refused(h.flow)
end

-- The slot of a call by the limits without a key; nil: none within reach, and `found` says when.
local function wide_slot(found, cost)
  local is_further = is_batch and #found.ulids > 0
  if is_further then
    if wide_limits and not wide_limits.fits(found.slots[1], cost) then return nil end
    return found.slots[1]
  end
  if granted then
    local slot_us = granted_slot(front_us)
    if slot_us and slot_us <= last_us then return slot_us end
    found.next_us = slot_us or math.max(front_us, found.next_us or 0)
    return nil
  end
  if not wide_limits then return front_us end
  local slot_us, is_known = wide_limits.slot(front_us, is_batch and 1 or cost, cost)
  if is_known and slot_us <= last_us then return slot_us end
  local is_behind_a_period = is_known and slot_us <= horizon_end_us and (before_us == 0 or slot_us < before_us)
  if is_behind_a_period then found.next_us = slot_us else found.limited_us = wide_limits.wait(slot_us, is_known) end
  return nil
end

-- The state entry of a message that becomes leased: put together at once where nothing has touched it before.
local function lease_begins(found, ulid, message)
  local record = message.record
  local first = not message.raw and string.sub(record, 1, PLAIN_BYTES)
  if not first or not plain_place[first] then return met_before().start(ulid, record, message.state, found) end
  local n = #found.ulids + 1
  found.ulids[n], found.records[n] = ulid, record
  found.states[2 * n - 1], found.states[2 * n] = ulid, found.first_claim[first]
  found.bytes = found.bytes + #record
end

-- The message starts: its units, its lease, the tag of its flow, and its lane.
local function start(found, lane, h, more, message, keys, blockers, slot_us, cost)
  local n = #found.ulids
  if wide_limits then
    local calls = is_batch and (n == 0 and 1 or 0) or cost
    wide_limits.take(slot_us, calls, cost)
    found.units = found.units + calls
  end
  if granted and (not is_batch or n == 0) then granted_at = granted_at + 1 end
  local undo = all_units_take(keys, slot_us, cost)
  if h.is_ordered or undo ~= '' then gather('HSET', K.held, h.ulid, (h.is_ordered and lane or NONE) .. undo) end
  if not is_batch or n == 0 then found.slots[#found.slots + 1] = slot_us end
  lease_begins(found, h.ulid, message)
  flow_moves(h.flow, share_of(h.flow, cost))
  lane_goes_on(lane, h, more, blockers)
end

-- Takes one head, or puts it aside. Whether the claim goes on.
local function take_one(found, limit_bytes, alone_possible, not_from_ms)
  local n = #found.ulids
  local first = choose()
  if not first then
    local next_us = next_moment()
    found.next_us = next_us
    if not next_us or next_us > last_us then return false end
    if next_us > front_us and is_batch and n > 0 then return false end
    front_us = math.max(front_us, next_us)
    return true
  end
  local lane, more = first.lane, first.more
  local h = lane_read(lane)
  local record, raw = rc('HGET', K.records, h.ulid), rc('HGET', K.states, h.ulid)
  local s = record and record_is_readable(record) and (raw and (state_read(raw) or false) or state_of_record(record))
  if sets_aside(found, lane, h, record, s) then
    moved = moved + 1
    return true
  end
  if not_from_ms and h.is_ordered and not place_has_begun(h.place) and due_of_place(h.place) >= not_from_ms then
    found.is_more = true
    return false
  end
  if n > 0 and found.bytes + #record > limit_bytes then return false end
  if s.rescues >= RESCUES_MAX and (n > 0 or not alone_possible) then
    found.blocked = true
    return false
  end
  local keys = keys_of(record)
  local blockers, cost = blockers_of(structure, keys), record_cost(record)
  local blocker, opens_us = refused(h.flow, blockers, cost)
  if blocker then
    hold_back(lane, h, more, blockers, blocker, opens_us)
    return true
  end
  if admit == admit_granted and not admit(record, found) then return false end
  local slot_us = wide_slot(found, cost)
  if not slot_us then return false end
  start(found, lane, h, more, { record = record, raw = raw, state = s }, keys, blockers, slot_us, cost)
  return s.rescues < RESCUES_MAX
end

-- How long until it is worth asking again, us, where everything waits for a limit by key or for its order; -1: somebody will tell.
local function keys_wait_us(found)
  local next_us = found.next_us
  if not next_us or next_us == math.huge then return -1 end
  -- The next grant has slots from that moment on.
  if granted then return math.max(0, next_us - first_us) end
  if last_us < horizon_end_us and next_us > last_us then return math.max(0, next_us - first_us) end
  return math.max(0, next_us - horizon_end_us)
end

local function take_from_lanes(want, alone_possible, lengths)
  local found = {
    ulids = {}, records = {}, states = {}, headers = {}, lapsed = {}, put_off = {}, stale = 0, bytes = 0, walked = 0, slots = {}, units = 0,
    blocked = false, first_claim = first_claims(token, paused()),
  }
  if not is_batch then want = math.min(want, RUST.LANES_WANTED_MAX) end
  budget, front_us = RUST.LANES_MOVED_MAX + want, granted and math.max(periods_began_us, granted_slots[1] or 0) or first_us
  look_anew()
  local limit_bytes = is_batch and math.min(batch_bytes, bytes_max) or bytes_max
  local not_from_ms, in_lists = bring_in_what_is_due(), 0
  for band = 0, 9 do in_lists = in_lists + lengths[band] end
  if in_lists > 0 then
    found.stale, found.is_more = bring_in_from_lists(budget)
    if found.is_more and structure.order_by then not_from_ms = 0 end
  end
  if in_force[3] then found.is_more = true end
  local goes_on = true
  while goes_on and #found.ulids < want do
    if (wide_limits or granted) and not (is_batch and #found.ulids > 0) then
      local slot_us = wide_slot(found, 1)
      if not slot_us then break end
      front_us = slot_us
    end
    lend_due()
    goes_on = take_one(found, limit_bytes, alone_possible, not_from_ms)
    if moved >= budget then
      found.is_more = true
      goes_on = false
    end
  end
  if granted and #found.ulids >= want and not found.is_more then found.next_us = choose() and 0 or next_moment() end
  found.keys_wait_us, found.walked = keys_wait_us(found), #found.ulids + #found.lapsed + #found.put_off + found.stale
  return found
end

-- Lets blockers go on while a limit of the whole queue lets nothing start, so that they never pile up behind it. Whether more of them
-- are due than one call may move.
local function lend_meanwhile()
  budget, front_us = RUST.LANES_MOVED_MAX, first_us
  look_anew()
  lend_due()
  return moved >= budget or in_force[3] ~= false
end

local function lanes_claim_save()
  limits_write()
  flows_save()
  prune_limits(2 * budget)
  prune_tags(2 * budget)
end
