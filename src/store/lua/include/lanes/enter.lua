-- include: lanes/stand
-- How a message that is ready comes into its lane, and how one that waits there leaves it. The script has `structure`.

local function record_of(ulid) return rc('HGET', K.records, ulid) end

-- Record and state of a message; no state where one of them cannot be read.
local function message_of(ulid)
  local records, states = load({ ulid })
  return records[1], states[1]
end

-- What a head needs to be known of a message: its keys, its place, its level and its flow by the structure in force.
local function seat_of(record, s)
  local keys = keys_of(record)
  local lane, is_ordered, level, flow = lane_of(structure, s, keys)
  return { keys = keys, lane = lane, is_ordered = is_ordered, level = level, flow = flow, place = place_of(record, s) }
end

local function be_head(h, seat, ulid)
  h.level, h.flow, h.place, h.ulid = seat.level, seat.flow, seat.place, ulid
end

-- A message becomes the head of a lane that has none, or in the place of the head, which steps back behind it.
local function become_head(h, seat, ulid)
  local lane = seat.lane
  if h and h.is_ordered then
    stand_down(lane, h, keys_of(record_of(h.ulid)))
    rest_add(lane, h.place, h.ulid)
  elseif h then
    rest_add(lane, h.place, h.ulid)
    h.more = true
    change_head(lane, h, seat.place, ulid)
    return lane_write(lane, h)
  end
  h = { is_ordered = seat.is_ordered, more = h ~= nil }
  be_head(h, seat, ulid)
  stand(lane, h, blockers_of(structure, seat.keys))
  lane_write(lane, h)
end

-- The message for which its lane of order is busy comes back.
local function holder_comes_back(h, seat, ulid)
  if not place_has_begun(seat.place) and h.more then
    -- Nothing of it has left, so that what came meanwhile with an earlier place goes first.
    rest_add(seat.lane, seat.place, ulid)
    return lane_frees(seat.lane, h)
  end
  waits_remove(ORDER .. seat.lane)
  be_head(h, seat, ulid)
  stand(seat.lane, h, blockers_of(structure, seat.keys))
  lane_write(seat.lane, h)
end

-- The next of the rest becomes the head of a lane whose head stands nowhere any more; what cannot be read is left out, and the
-- audit finds it.
local function next_head(lane, h)
  while h.more do
    local place, ulid = rest_first(lane)
    if not place then break end
    local record, s = message_of(ulid)
    if s then
      local seat = seat_of(record, s)
      seat.place = place
      be_head(h, seat, ulid)
      stand(lane, h, blockers_of(structure, seat.keys))
      return lane_write(lane, h)
    end
  end
  lane_drop(lane)
end

-- The head of a lane that stands in `open` or `parked` leaves. keys: of this head. What held it may let the next one go: that one may
-- cost less.
local function head_leaves(lane, h, keys)
  for _, blocker in ipairs(blockers_of(structure, keys)) do look_at_blocker(blocker) end
  for _, limit in ipairs(structure.of_flows) do look_at_blocker(limit.id .. h.flow) end
  if not h.is_ordered and h.more then
    local place, ulid = rest_first(lane)
    if place then
      change_head(lane, h, place, ulid)
      return lane_write(lane, h)
    end
  end
  stand_down(lane, h, keys)
  next_head(lane, h)
end

local function enter(ulid, record, s)
  local seat = seat_of(record, s)
  local lane = seat.lane
  local h = lane_read(lane)
  if not h then return become_head(nil, seat, ulid) end
  if h.state == 'b' and h.ulid == ulid then return holder_comes_back(h, seat, ulid) end
  local stands = h.state == 'o' or h.state == 'p'
  if stands and h.ulid == ulid then
    -- A repeat of what was done before, by an index that had to be mended.
    if h.place == seat.place then return end
    -- It had left, and a node that did not know of the keys let its old place stand.
    head_leaves(lane, h, seat.keys)
    return enter(ulid, record, s)
  end
  if stands and is_before(seat.place, h.place) then return become_head(h, seat, ulid) end
  rest_add(lane, seat.place, ulid)
  if not h.more then
    h.more = true
    lane_write(lane, h)
  end
end

-- A waiting message leaves the lane in which it is by a structure; whether it was there.
local function leave_lane(of, ulid, record, s)
  local keys = keys_of(record)
  local lane = lane_of(of, s, keys)
  local h = lane_read(lane)
  if not h then return false end
  local place = place_of(record, s)
  if h.ulid ~= ulid then return rest_remove(lane, place, ulid) > 0 end
  if h.state ~= 'o' and h.state ~= 'p' then return false end
  -- With another place it stands there from before: what it is now stands elsewhere.
  local is_here = h.place == place
  head_leaves(lane, h, keys)
  return is_here
end

-- A message has ended: if its lane of order was busy for it, the lane goes on.
local function lane_ends(of, ulid, record)
  local value = of.order_by and keys_of(record)[of.order_by]
  if not value then return end
  local lane = lane_of_order(of.order_by, value)
  local h = lane_read(lane)
  if h and h.state == 'b' and h.ulid == ulid then lane_frees(lane, h) end
end
