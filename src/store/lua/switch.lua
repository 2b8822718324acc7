#!lua flags=allow-oom
-- switch: what stands by the structure before moves over to the structure in force, a bounded number of messages in a call.
-- include: shard state ready lanes/ready
--
-- args: most:number
-- returns: now_ms:number is_switching:flag moved:number lanes_left:number
-- is_switching: there is more to do. moved: messages and lanes. lanes_left: about how many lanes have not been looked at.
--
-- Safe to repeat: a lane that has moved over is not there any more, or stands where it did. Any node goes on with what another one
-- has begun: how far it has come stands in meta.
local moved = 0
local cursor = rc('HGET', K.meta, 'switch')
if not cursor then return REPLY { now_ms = now_ms, is_switching = false, moved = 0, lanes_left = 0 } end

local function switch_page()
  -- include: lanes/undo
  -- Whether a message waits in the place in which it was found: a node that did not know of the keys may have let it stand there.
  local function waits_at(place, record, s) return s and s.state == 'w' and place_of(record, s) == place end

  -- Whether a message belongs into a lane by the structure in force.
  local function belongs_to(lane, ulid)
    local record, s = message_of(ulid)
    return is_laned and s and seat_of(record, s).lane == lane
  end

  -- A message that stands nowhere any more comes in anew, into a lane or into the ready list.
  local function come_in(place, ulid)
    moved = moved + 1
    local record, s = message_of(ulid)
    if not waits_at(place, record, s) then return end
    if is_laned then return enter(ulid, record, s) end
    ready_tail_of_lists(entry_of(ulid, s), s.band)
  end

  -- All lanes stood nowhere when the structure came in force: what stands does so by it already.
  local function stands(lane, h)
    if h.state == 'o' then return rc('ZSCORE', K.open, open_member(lane, h)) end
    return h.state == 'p' and rc('ZSCORE', K.parked, parked_member(lane, h))
  end

  -- The lane keeps its id: it stands by the structure in force from here on. A page may be looked at again before it is done, so that
  -- only what changes counts.
  local function stand_anew(lane, h)
    if stands(lane, h) then return end
    if h.state == 'f' then return waits_set(ORDER .. lane, now_us) end
    local record, s = message_of(h.ulid)
    -- What it waits for may be no reason to wait by this structure.
    if h.state == 'b' then return holder_leaves(lane, h.ulid, s) end
    moved = moved + 1
    stand_down(lane, h, keys_of(record))
    if not waits_at(h.place, record, s) then return next_head(lane, h) end
    local seat = seat_of(record, s)
    be_head(h, seat, h.ulid)
    stand(lane, h, blockers_of(structure, seat.keys))
    lane_write(lane, h)
  end

  -- The lane does not belong to the structure in force: its messages come in anew, in their order. Whether it is empty now.
  local function empty(lane, h)
    if h.state == 'o' or h.state == 'p' then
      stand_down(lane, h, keys_of(record_of(h.ulid)))
      local place, ulid = h.place, h.ulid
      h.state, h.ulid, h.blocker = 'f', NO_ULID, nil
      lane_write(lane, h)
      come_in(place, ulid)
    end
    while moved < most do
      local place, ulid = rest_first(lane)
      if not ulid then
        waits_remove(ORDER .. lane)
        lane_drop(lane)
        return true
      end
      if belongs_to(lane, ulid) then
        -- It was the head alone that did not say so: nobody can read it, or it is gone.
        rest_add(lane, place, ulid)
        next_head(lane, h)
        return true
      end
      come_in(place, ulid)
    end
    return false
  end

  -- Whether its messages belong into this lane by the structure in force too.
  local function keeps_id(lane, h)
    local behind = h.state == 'f' and with_prefix(K.rest, lane, 1)[1]
    return belongs_to(lane, behind and string.sub(behind, 19) or h.ulid)
  end

  local page = rc('HSCAN', K.heads, cursor, 'COUNT', math.ceil(most / 4))
  local is_whole = true
  for i = 1, #page[2], 2 do
    -- What has moved over may have made another head of a lane further on in the page.
    local lane = page[2][i]
    local h = lane_read(lane)
    if h and is_whole then
      if keeps_id(lane, h) then stand_anew(lane, h) else is_whole = empty(lane, h) end
    end
  end
  flows_save()
  return is_whole and page[1] or cursor, is_whole and page[1] == '0'
end

-- What stood in ready lists comes into lanes. Whether more is left there.
local function switch_lists()
  local left = most
  for band = 9, 0, -1 do
    local entries = left > 0 and rc('LPOP', READY[band], left) or {}
    left = left - #entries
    ready_tail_all(entries)
  end
  moved = moved + most - left
  return left == 0
end

local next_cursor, is_done
if cursor ~= 'lists' then next_cursor, is_done = switch_page() end
if cursor == 'lists' or (is_done and is_laned) then
  next_cursor, is_done = 'lists', not switch_lists()
end
stale_met = 0
flush()
if stale_met > 0 then rc('HINCRBY', K.meta, 'stale', -stale_met) end
if is_done then
  rc('HDEL', K.meta, 'switch', 'structure_was')
  publish('wake', ' 2')
else
  rc('HSET', K.meta, 'switch', next_cursor)
end
return REPLY { now_ms = now_ms, is_switching = not is_done, moved = moved, lanes_left = rc('HLEN', K.heads) }
