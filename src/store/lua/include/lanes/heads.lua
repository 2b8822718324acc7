-- include: shard
-- The lanes: their heads, and what waits behind them.
--
--   heads   hash, lane → state c1 | is one of order u8 | whether others have stood behind the head u8 | level u8 | flow 8
--           | blocker 9 | place 10 | ulid 26
--   rest    sorted set of equal scores: lane 8 | place 10 | ulid 26
--
-- States: o open, p parked, b busy (a lane of order whose message is on its way, and the ULID is that of this message), f free (that
-- message has ended, and the next claim goes on with the lane).
local HEAD, HEAD_BYTES = '>c1BBBc8c9c10c26', 57
local NO_BLOCKER, NO_PLACE, NO_ULID = '\0\0\0\0\0\0\0\0\0', '\0\0\0\0\0\0\0\0\0\0', string.rep('0', 26)

local function head_unpack(raw)
  local state, is_ordered, more, level, flow, blocker, place, ulid = struct.unpack(HEAD, raw)
  return {
    state = state, is_ordered = is_ordered == 1, more = more == 1, level = level, flow = flow, blocker = blocker,
    place = place, ulid = ulid,
  }
end

-- Nil where there is no lane, or none that can be read: the audit finds that.
local function lane_read(lane)
  local raw = rc('HGET', K.heads, lane)
  return raw and #raw == HEAD_BYTES and head_unpack(raw) or nil
end

local function lane_write(lane, h)
  rc('HSET', K.heads, lane, struct.pack(HEAD, h.state, h.is_ordered and 1 or 0, h.more and 1 or 0, h.level, h.flow,
    h.blocker or NO_BLOCKER, h.place or NO_PLACE, h.ulid))
end

local function lane_drop(lane) rc('HDEL', K.heads, lane) end

-- The members of a sorted set of equal scores that begin with `prefix`; what follows it begins with no byte 255.
local function with_prefix(key, prefix, most)
  return rc('ZRANGE', key, '[' .. prefix, '(' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, most)
end

local function rest_add(lane, place, ulid) rc('ZADD', K.rest, 0, lane .. place .. ulid) end

local function rest_remove(lane, place, ulid) return rc('ZREM', K.rest, lane .. place .. ulid) end

-- Takes the first of those behind the head, which becomes the head; nil: there is none.
local function rest_first(lane)
  local member = with_prefix(K.rest, lane, 1)[1]
  if not member then return nil end
  rc('ZREM', K.rest, member)
  return string.sub(member, 9, 18), string.sub(member, 19)
end
