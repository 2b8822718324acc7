-- include: lanes/flows lanes/keys
-- Where lanes stand: `open`, or `parked` behind the blocker that holds them. The script has `structure`.
--
--   open     sorted set of equal scores: level u8 | flow 8 | place 10 | lane 8
--   parked   sorted set of equal scores: blocker 9 | 9 - level u8 | flow 8 | place 10 | lane 8
--   waits    sorted set, blocker by the moment at which it lets a unit pass, us; infinite: when a call ends
--   lent     hash, blocker → lane 8 (zeros: none) | flow 8 | since when, us, u56
--
-- A blocker is the byte of a limit and the hash of a key; byte zero and a lane is the blocker of a lane of order, which stands in
-- `waits` when its lane may go on. `lent` has the lane that a blocker has let go to `open` before it lets go the next one, and
-- whose turn it was. Without a lane: since when it has a unit while all flows of its lanes are held, or zero.
local ORDER = '\0'
local lent_any = rc('HLEN', K.lent) > 0
-- The moment up to which this call looks: a claim moves it on.
local front_us = now_us
-- Whether a blocker that this call has set is due within its own reach.
local look_again = false
-- Lanes that one blocker lent in a call and other limits refused. After so many it waits a little, or two blockers with many
-- lanes in common would hand them to one another all day.
local RETURNS_MAX, LOOK_US = 8, 50000
local returns = {}

-- When a blocker lets one unit pass. Only a claim knows the limits; for any other script it is worth a look now.
local unit_opens_at = function() return now_us end

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
  if more == nil then more = has_open_lane(h.flow, h.level) end
  if not more then return flow_closes(h.flow, h.level) end
  lane_changes(h.flow, h.level)
end

local function waits_until(blocker, moment_us)
  waits_set(blocker, moment_us)
  if moment_us <= front_us then look_again = true end
end

-- A blocker that holds something is worth a look at once.
local function look_at_blocker(blocker)
  if rc('ZADD', K.waits, 'XX', 'CH', score_of(now_us), blocker) > 0 then look_again = true end
end

local function has_parked(blocker) return #with_prefix(K.parked, blocker, 1) > 0 end

-- The entry of a blocker that has lent nothing, and remembers whose turn it was.
local function lent_none(lent) return NONE .. string.sub(lent, 9, 16) .. '\0\0\0\0\0\0\0' end

-- The lane that this blocker had lent is open no more: it may lend another one when it has a unit.
local function comes_back(blocker, lent, is_refused)
  if not has_parked(blocker) then
    rc('HDEL', K.lent, blocker)
    return
  end
  rc('HSET', K.lent, blocker, lent_none(lent))
  local opens_us = unit_opens_at(blocker)
  if is_refused then
    returns[blocker] = (returns[blocker] or 0) + 1
    if returns[blocker] >= RETURNS_MAX then opens_us = math.max(opens_us, front_us + LOOK_US) end
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
  local lent = lent_any and rc('HGET', K.lent, blocker)
  return lent and string.sub(lent, 1, 8) ~= NONE
end

local function parked_add(lane, h, blocker)
  h.state, h.blocker = 'p', blocker
  rc('ZADD', K.parked, 0, parked_member(lane, h))
end

-- A parked lane is parked no more. Nothing is left of a blocker that held only this one.
local function unpark(lane, h)
  rc('ZREM', K.parked, parked_member(lane, h))
  if not has_parked(h.blocker) then
    waits_remove(h.blocker)
    rc('HDEL', K.lent, h.blocker)
  end
end

-- A lane with a new head that stands nowhere yet: behind what blocks it, or open.
local function stand(lane, h, blockers)
  local worst, worst_us
  if #blockers > 0 then
    for i, score in ipairs(rc('ZMSCORE', K.waits, unpack(blockers))) do
      local until_us = moment_of(score)
      if until_us and (not worst or until_us > worst_us) then worst, worst_us = blockers[i], until_us end
    end
  end
  if not worst then return open_add(lane, h) end
  parked_add(lane, h, worst)
  -- The blocker has a unit, and waits only because the flows of all its lanes are held: not that of this one.
  local lent = lent_any and rc('HGET', K.lent, worst)
  if lent and string.sub(lent, 1, 8) == NONE and struct.unpack('>I7', lent, 17) > 0
    and not flow_of(h.flow).held_until_us then
    waits_until(worst, now_us)
  end
end

-- A lane in `open` or `parked` stands nowhere from here on. keys: of its head.
local function stand_down(lane, h, keys)
  if h.state == 'p' then return unpark(lane, h) end
  open_remove(lane, h)
  lents_come_back(lane, blockers_of(structure, keys))
end

-- The head of a lane that is not one of order is another message now, with the same keys.
local function change_head(lane, h, place, ulid)
  local key = h.state == 'o' and K.open or K.parked
  local member = h.state == 'o' and open_member or parked_member
  -- While messages move over to another structure, lanes of the one before stand nowhere.
  local stood = rc('ZREM', key, member(lane, h)) == 1
  h.place, h.ulid = place, ulid
  if stood then rc('ZADD', key, 0, member(lane, h)) end
  if h.state == 'o' then lane_changes(h.flow, h.level) end
end

-- The lane of an order key may go on: the next claim finds it.
local function lane_frees(lane, h)
  if not h.more or #with_prefix(K.rest, lane, 1) == 0 then
    -- Or the moment at which its message would have been skipped would skip another one.
    waits_remove(ORDER .. lane)
    return lane_drop(lane)
  end
  -- The message that it was busy for may stand in `rest` from now on.
  h.state, h.ulid = 'f', NO_ULID
  lane_write(lane, h)
  waits_until(ORDER .. lane, now_us)
end
