-- Layout "split": `heads`, a hash lane → the head of the lane and where it stands; `rest`, a sorted set of equal scores with
-- the messages behind the heads.
--
-- heads: state c1 (o open, p parked, b busy, f free to go on) | is one of order u8 | whether others wait behind u8 | level u8
-- | flow 8 | blocker 9 | place 10 | ulid 26. rest: lane 8 | place 10 | ulid 26.
local NO_BLOCKER, NO_PLACE = NONE .. '\0', NONE .. '\0\0'

local function lane_read(lane)
  local raw = rc('HGET', K.heads, lane)
  if not raw then return nil end
  local state, is_ordered, more, level, flow, blocker, place, ulid = struct.unpack('>c1BBBc8c9c10c26', raw)
  return {
    state = state, is_ordered = is_ordered == 1, more = more == 1, level = level, flow = flow, blocker = blocker,
    place = place, ulid = ulid,
  }
end

local function lane_write(lane, h)
  rc('HSET', K.heads, lane, struct.pack('>c1BBBc8c9c10c26', h.state, h.is_ordered and 1 or 0, h.more and 1 or 0, h.level,
    h.flow, h.blocker or NO_BLOCKER, h.place or NO_PLACE, h.ulid))
end

local function lane_drop(lane) rc('HDEL', K.heads, lane) end

local function rest_add(lane, place, ulid) rc('ZADD', K.rest, 0, lane .. place .. ulid) end

local function rest_remove(lane, place, ulid) return rc('ZREM', K.rest, lane .. place .. ulid) end

-- A message is about to become the head of its lane without having stood there, or ceases to be it.
local function head_comes() end
local function head_goes() end
-- The head becomes one of the rest.
local head_steps_back = rest_add

-- The first of the rest, which becomes the head.
local function rest_first(lane)
  local member = with_prefix(K.rest, lane, 1)[1]
  if not member then return nil end
  rc('ZREM', K.rest, member)
  return string.sub(member, 9, 18), string.sub(member, 19)
end
