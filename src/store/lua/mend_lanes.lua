#!lua flags=allow-oom
-- mend_lanes: lanes, blockers, flows and leases agree again, each where what was found still holds.
-- include: clock lanes/index
--
-- args: earliest_us:number latest_us:number (code:number member)...
-- earliest_us, latest_us: this call is expected between them. member: the name of a lane, blocker or flow as hexadecimal digits, and
-- before it, where there is one, the message; of a stray its structure and itself; of a lease the message; of a count the limit.
-- returns: is_in_doubt:flag now_us:number holds:flag...
-- is_in_doubt: the clock is, and nothing was done. holds: it did, and is mended; else it does not hold any more.
--
-- Safe to repeat: what is mended is right, and no longer found. Messages are never written.
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
local reply = REPLY { is_in_doubt = false, now_us = now_us }

-- One message is counted as it is; where a sum is wrong, all are counted anew, by the next prunes.
local function mend_backlog(member)
  -- include: lanes/backlog
  if member == '' then
    if not sums_differ() then return false end
    rc('UNLINK', K.backlog, K.backlog_keys)
    rc('HDEL', K.meta, 'backlog_bytes')
    rc('SET', K.backlog_at, '0')
    return true
  end
  local records, states = load({ member })
  if not is_counted_wrongly(member, records[1], states[1]) then return false end
  touched[member] = { states[1] and states[1].state or '', records[1] or nil }
  count_touched()
  return true
end

local function mend_all()
  -- include: lanes/sound
  local function named(member) return member_of_digits(string.match(member, '%x*$')) end

  -- Turns as the open lanes ask for them, all with one tag: the one that lies furthest ahead, so that nobody gains by it.
  local function mend_flow(flow)
    local flow_is_held, furthest, stands = is_held(flow), 0, false
    local scores = { rc('ZSCORE', K.tags, flow) }
    for level = 0, 9 do scores[level + 2] = rc('ZSCORE', TURNS[level], flow) end
    for i = 1, 11 do
      local distance = scores[i] and ahead(tonumber(scores[i])) or 0
      if distance < WRAP / 2 then furthest = math.max(furthest, distance) end
    end
    local tag = tag_text((virtual + furthest) % WRAP)
    for level = 0, 9 do
      if has_to_turn(flow, level, flow_is_held) then
        stands = true
        rc('ZADD', TURNS[level], tag, flow)
      else
        rc('ZREM', TURNS[level], flow)
      end
    end
    if stands or furthest == 0 or #flow ~= 8 then rc('ZREM', K.tags, flow) else rc('ZADD', K.tags, tag, flow) end
    -- What was known of it is known anew.
    flows[flow] = nil
  end

  -- A free lane may go on now, or is gone; one that is busy may go on when its message would be skipped.
  local function mend_blocker_of_order(blocker)
    local lane = string.sub(blocker, 2)
    waits_remove(blocker)
    local h = head_of(lane)
    if not h or (h.state ~= 'f' and h.state ~= 'b') then return end
    h.more = has_rest(lane)
    if h.state == 'f' then return lane_frees(lane, h) end
    local record, s = message_of(h.ulid)
    -- Nobody knows what a message is doing that cannot be read.
    if s or not record then holder_leaves(lane, h.ulid, s) end
  end

  local function mend_blocker(blocker)
    local limit = limit_of(blocker)
    local holds_lanes = string.sub(blocker, 1, 1) ~= ORDER and has_parked(blocker)
    if #blocker == 9 and (holds_lanes or (limit and limit.is_of_flow)) then return waits_until(blocker, now_us) end
    if #blocker == 9 and string.sub(blocker, 1, 1) == ORDER then
      mend_blocker_of_order(blocker)
    elseif limit then
      waits_remove(blocker)
    else
      -- Of no limit: nobody counts it.
      rc('ZREM', K.waits, blocker)
      rc('HDEL', K.meta, 'held:' .. (string.byte(blocker) or 0))
    end
    rc('HDEL', K.lent, blocker)
  end

  -- The lane stands where it belongs by the message that is its head; or the next one is its head, or it is gone.
  local function mend_lane(lane)
    local h = head_of(lane)
    if not h then return lane_drop(lane) end
    h.more = h.more or has_rest(lane)
    if h.state == 'p' then rc('ZREM', K.parked, parked_member(lane, h)) end
    if h.state == 'b' or h.state == 'f' then
      if h.is_ordered then return lane_write(lane, h) end
      return next_head(lane, h)
    end
    if h.state == 'o' and rc('ZSCORE', K.open, open_member(lane, h)) then return lane_write(lane, h) end
    local record, s = message_of(h.ulid)
    local seat = s and s.state == 'w' and place_of(record, s) == h.place and seat_of(record, s)
    if not seat or seat.lane ~= lane then return next_head(lane, h) end
    be_head(h, seat, h.ulid)
    stand(lane, h, blockers_of(structure, seat.keys))
    lane_write(lane, h)
  end

  local function mend_stuck(lane)
    local h = head_of(lane)
    h.more = has_rest(lane)
    local _, s = message_of(h.ulid)
    if h.state == 'b' and s and s.state == 'U' then return holder_leaves(lane, h.ulid, s) end
    lane_frees(lane, h)
  end

  local function set_of(name) return name == 'open' and K.open or name == 'parked' and K.parked or K.rest end

  local function mend_stray(name, member)
    local key = set_of(name)
    rc('ZREM', key, member)
    if name == 'open' then
      local flow = string.sub(member, 2, 9)
      if flow_is_wrong(flow) then mend_flow(flow) end
    elseif name == 'parked' then
      local blocker = string.sub(member, 1, 9)
      if blocker_is_wrong(blocker) then mend_blocker(blocker) end
    else
      local ulid = string.sub(member, 19)
      local record, s = message_of(ulid)
      local waits_here = s and s.state == 'w' and place_of(record, s) == string.sub(member, 9, 18)
      if not waits_here or rc('ZSCORE', K.due, entry_of(ulid, s)) then return end
      enter(ulid, record, s)
      -- Others may have stood behind a head that was not there, and are no strays any more.
      local lane = seat_of(record, s).lane
      local h = head_of(lane)
      if h.more or not has_rest(lane) then return end
      h.more = true
      lane_write(lane, h)
    end
  end

  local function mend_lent(blocker)
    rc('HDEL', K.lent, blocker)
    if blocker_is_wrong(blocker) then return mend_blocker(blocker) end
    if rc('ZSCORE', K.waits, blocker) then waits_until(blocker, now_us) end
  end

  local function mend_held(ulid)
    local raw, record, s = rc('HGET', K.held, ulid), message_of(ulid)
    local limits = raw and (#raw - HELD_LANE_BYTES) % HELD_LIMIT_BYTES == 0 and string.sub(raw, HELD_LANE_BYTES + 1) or ''
    if s and s.state == 'L' then
      local lane, is_ordered = lane_of(structure, s, keys_of(record))
      return rc('HSET', K.held, ulid, (is_ordered and lane or NONE) .. limits)
    end
    if #raw < HELD_LANE_BYTES or #raw > HELD_LANE_BYTES and limits == '' then return rc('HDEL', K.held, ulid) end
    lease_ends(ulid, raw, s, true)
  end

  local function mend_flight(blocker)
    local calls = calls_by_leases()
    local count = calls and calls[blocker] or 0
    if not calls or tonumber(rc('HGET', K.flight, blocker) or 0) == count then return false end
    if count > 0 then rc('HSET', K.flight, blocker, count) else rc('HDEL', K.flight, blocker) end
    look_at_blocker(blocker)
    return true
  end

  local function mend_count(name)
    local counts = blockers_counted()
    for _, limit in ipairs(counts and structure.limits or {}) do
      local id = string.byte(limit.id)
      local count = counts[id] or 0
      if limit.name == name and tonumber(rc('HGET', K.meta, 'held:' .. id) or 0) ~= count then
        rc('HSET', K.meta, 'held:' .. id, count)
        return true
      end
    end
    return false
  end

  local function mend_if(is_wrong, mend, name)
    if not is_wrong(name) then return false end
    mend(name)
    return true
  end

  local MEND = {
    [STRAY] = function(member)
      local name, digits = string.match(member, '(%l+) (%x*)$')
      local stray = member_of_digits(digits or '')
      local key = set_of(name)
      if not rc('ZSCORE', key, stray) or not is_stray(name, stray) then return false end
      mend_stray(name, stray)
      return true
    end,
    [LANE] = function(member)
      local lane = named(member)
      return rc('HEXISTS', K.heads, lane) == 1 and mend_if(lane_is_wrong, mend_lane, lane)
    end,
    [BUSY] = function(member) return mend_if(lane_is_stuck, mend_stuck, named(member)) end,
    [BLOCKER] = function(member) return mend_if(blocker_is_wrong, mend_blocker, named(member)) end,
    [LENT] = function(member) return mend_if(lent_is_wrong, mend_lent, named(member)) end,
    [TURN] = function(member) return mend_if(flow_is_wrong, mend_flow, named(member)) end,
    [HELD] = function(member) return mend_if(held_is_wrong, mend_held, member) end,
    [FLIGHT] = function(member) return mend_flight(named(member)) end,
    [HELD_KEYS] = mend_count,
  }
  for i = 1, ROWS do
    local code, member = ROW[i].code, ROW[i].member
    local holds
    if code == RUST.FAULT_BACKLOG then
      holds = structure.counts and mend_backlog(member)
    else
      holds = is_laned and not structure_before and MEND[code](member)
    end
    -- How many keys a limit holds is written before it is counted.
    flows_save()
    REPLY_ROW { holds = holds }
  end
end
mend_all()
publish('wake', ' 2')
return reply
