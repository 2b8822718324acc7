-- Where lanes stand: `open`, or `parked` behind the blocker that holds them.
--
-- open: level u8 | flow 8 | place 10 | lane 8. parked: blocker 9 | 9 - level u8 | flow 8 | place 10 | lane 8. Both sorted sets of
-- equal scores. `waits`: sorted set, blocker by the moment at which it lets a unit pass, us; infinite: an event opens it.
-- `lent`: hash, blocker → lane 8 (zeros: none) | flow 8 | since when, us, u56: the lane that it has let go to `open` before it
-- lets go the next, and whose turn it was. Without a lane: since when it has a unit and all its flows are held, or zero.
--
-- A blocker stands in `waits` if it has parked lanes, and only then; while a lane is lent it is looked after there. The
-- blocker of a flow that is held stands there too. The blocker of an order key is byte zero and lane: it stands there when
-- its lane may go on.
local ORDER = '\0'
local lent_any = rc('HLEN', K.lent) > 0
local look_again = false
-- Lanes that one blocker lent in a call and others refused; after so many it waits a little, or two blockers with many
-- lanes in common would hand them to one another all day.
local RETURNS_MAX, LOOK_US = 8, 50000
local returns = {}

local function blockers_of(keys)
  local blockers = {}
  for i, limit in ipairs(OF_LANES) do blockers[i] = limit.id .. (keys[limit.per] or NONE) end
  return blockers
end

local function open_member(lane, h) return string.char(h.level) .. h.flow .. h.place .. lane end

local function parked_member(lane, h) return h.blocker .. string.char(9 - h.level) .. h.flow .. h.place .. lane end

local function open_add(lane, h)
  h.state, h.blocker = 'o', nil
  rc('ZADD', K.open, 0, open_member(lane, h))
  flow_opens(h.flow, h.level)
end

-- more: whether its flow has other open lanes at its level; nil: look.
local function open_remove(lane, h, more)
  rc('ZREM', K.open, open_member(lane, h))
  if more == nil then more = #with_prefix(K.open, string.char(h.level) .. h.flow, 1) > 0 end
  if not more then return flow_closes(h.flow, h.level) end
  lane_changes(h.flow, h.level)
end

local known_waits = {}

local function waits_until(blocker, moment_us)
  if known_waits[blocker] == moment_us then return end
  known_waits[blocker] = moment_us
  rc('ZADD', K.waits, text(moment_us), blocker)
  if moment_us <= last_us then look_again = true end
end

-- The entry of a blocker that has lent nothing, and remembers whose turn it was.
local function lent_none(lent) return NONE .. string.sub(lent, 9, 16) .. '\0\0\0\0\0\0\0' end

-- A lane that this blocker had lent is open no more: it may lend another one when it has a unit.
local function comes_back(blocker, lent, is_refused)
  if #with_prefix(K.parked, blocker, 1) == 0 then
    rc('HDEL', K.lent, blocker)
    return
  end
  rc('HSET', K.lent, blocker, lent_none(lent))
  local limit = LIMIT_OF[string.sub(blocker, 1, 1)]
  local opens_us = limit and opens_at(limit, blocker, 1) or now_us
  if is_refused then
    returns[blocker] = (returns[blocker] or 0) + 1
    if returns[blocker] >= RETURNS_MAX then opens_us = math.max(opens_us, last_us + LOOK_US) end
  end
  waits_until(blocker, opens_us)
end

local function lents_come_back(lane, blockers, is_refused)
  if not lent_any or #blockers == 0 then return end
  for i, lent in ipairs(rc('HMGET', K.lent, unpack(blockers))) do
    if lent and string.sub(lent, 1, 8) == lane then comes_back(blockers[i], lent, is_refused) end
  end
end

local function is_lent(blocker)
  if not lent_any then return false end
  local lent = rc('HGET', K.lent, blocker)
  return lent and string.sub(lent, 1, 8) ~= NONE
end

local function parked_add(lane, h, blocker)
  h.state, h.blocker = 'p', blocker
  rc('ZADD', K.parked, 0, parked_member(lane, h))
end

-- An open lane, which has been taken out of `open`, waits for a blocker until a moment.
local function park(lane, h, blocker, moment_us, blockers)
  parked_add(lane, h, blocker)
  lents_come_back(lane, blockers, true)
  if not is_lent(blocker) then waits_until(blocker, moment_us) end
end

-- A parked lane is parked no more. Nothing is left of a blocker that held only this one.
local function unpark(lane, h)
  rc('ZREM', K.parked, parked_member(lane, h))
  if #with_prefix(K.parked, h.blocker, 1) == 0 then
    rc('ZREM', K.waits, h.blocker)
    rc('HDEL', K.lent, h.blocker)
  end
end

-- A lane with a new head that stands nowhere yet: behind what blocks it, or open.
local function stand(lane, h, blockers)
  local worst, worst_us
  if #blockers > 0 then
    local waits = rc('ZMSCORE', K.waits, unpack(blockers))
    for i, blocker in ipairs(blockers) do
      local until_us = number(waits[i])
      if until_us and (not worst or until_us > worst_us) then worst, worst_us = blocker, until_us end
    end
  end
  if not worst then return open_add(lane, h) end
  parked_add(lane, h, worst)
  -- It has a unit, and waits only because the flows of all its lanes are held: not that of this one.
  local lent = lent_any and rc('HGET', K.lent, worst)
  if lent and string.sub(lent, 1, 8) == NONE and struct.unpack('>I7', lent, 17) > 0
    and not flow_of(h.flow).held_until_us then
    waits_until(worst, now_us)
  end
end

-- A lane in `open` or `parked` stands nowhere from here on.
local function leave(lane, h)
  if h.state == 'p' then return unpark(lane, h) end
  open_remove(lane, h)
  if lent_any then lents_come_back(lane, blockers_of((keys_of(rc('HGET', K.records, h.ulid))))) end
end

-- The head of a lane that is not one of order is another message now, with the same keys.
local function change_head(lane, h, place, ulid)
  local key = h.state == 'o' and K.open or K.parked
  local member = h.state == 'o' and open_member or parked_member
  rc('ZREM', key, member(lane, h))
  h.place, h.ulid = place, ulid
  rc('ZADD', key, 0, member(lane, h))
  if h.state == 'o' then lane_changes(h.flow, h.level) end
end

-- The lane of an order key may go on: the next claim finds it.
local function lane_frees(lane, h)
  if not h.more then
    -- Or the moment at which its holder would have been skipped would skip another one.
    rc('ZREM', K.waits, ORDER .. lane)
    return lane_drop(lane)
  end
  -- The message it was busy for may stand in the rest from now on.
  h.state, h.ulid = 'f', string.rep('0', 26)
  lane_write(lane, h)
  rc('ZADD', K.waits, text(now_us), ORDER .. lane)
end

-- A message that is ready enters its lane.
local function enter(ulid, record, has_begun)
  local keys = keys_of(record)
  local lane, is_ordered, level, flow = lane_of(record, keys)
  local place, h = place_of(record, has_begun), lane_read(lane)
  local is_holder = h and h.state == 'b' and h.ulid == ulid
  if is_holder and not has_begun and h.more then
    -- Nothing of it has left, so what came meanwhile with an earlier place goes first.
    rest_add(lane, place, ulid)
    return lane_frees(lane, h)
  end
  if not h or is_holder then
    h = { is_ordered = is_ordered, more = h ~= nil and h.more, level = level, flow = flow, place = place, ulid = ulid }
    if is_holder then rc('ZREM', K.waits, ORDER .. lane) end
    head_comes(lane, place, ulid)
    stand(lane, h, blockers_of(keys))
    return lane_write(lane, h)
  end
  if (h.state ~= 'o' and h.state ~= 'p') or not is_before(place, h.place) then
    rest_add(lane, place, ulid)
    if not h.more then
      h.more = true
      lane_write(lane, h)
    end
    return
  end
  head_comes(lane, place, ulid)
  h.more = true
  if h.is_ordered then
    leave(lane, h)
    head_steps_back(lane, h.place, h.ulid)
    h.level, h.flow, h.place, h.ulid = level, flow, place, ulid
    stand(lane, h, blockers_of(keys))
  else
    head_steps_back(lane, h.place, h.ulid)
    change_head(lane, h, place, ulid)
  end
  lane_write(lane, h)
end
