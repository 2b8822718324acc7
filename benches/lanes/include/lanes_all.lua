-- Layout "all": `rest` has every message of a lane, the head too; `heads` says where the lane stands, with the
-- ulid only where order needs it (a message that has begun is the head whatever stands before it).
local NO_BLOCKER, NO_PLACE = NONE .. '\0', NONE .. '\0\0'

local function lane_read(lane)
  local raw = rc('HGET', K.heads, lane)
  if not raw then return nil end
  local state, is_ordered, more, level, flow, blocker, place = struct.unpack('>c1BBBc8c9c10', raw)
  local ulid = string.sub(raw, 32)
  if ulid == '' then ulid = string.sub(with_prefix(K.rest, lane, 1)[1] or '', 19) end
  return {
    state = state, is_ordered = is_ordered == 1, more = more == 1, level = level, flow = flow, blocker = blocker,
    place = place, ulid = ulid,
  }
end

local function lane_write(lane, h)
  rc('HSET', K.heads, lane, struct.pack('>c1BBBc8c9c10', h.state, h.is_ordered and 1 or 0, h.more and 1 or 0, h.level,
    h.flow, h.blocker or NO_BLOCKER, h.place or NO_PLACE) .. (h.is_ordered and h.ulid or ''))
end

local function lane_drop(lane) rc('HDEL', K.heads, lane) end

local function rest_add(lane, place, ulid) rc('ZADD', K.rest, 0, lane .. place .. ulid) end

local function rest_remove(lane, place, ulid) return rc('ZREM', K.rest, lane .. place .. ulid) end

local head_comes, head_goes = rest_add, rest_remove
local function head_steps_back() end

local function rest_first(lane)
  local member = with_prefix(K.rest, lane, 1)[1]
  if not member then return nil end
  return string.sub(member, 9, 18), string.sub(member, 19)
end
