-- Layout "binary", which is "split" with ULIDs of 16 bytes: `heads`, a hash lane → the head of the lane and where it stands; `rest`, a sorted set of equal scores with
-- the messages behind the heads.
--
-- heads: state c1 (o open, p parked, b busy, f free to go on) | is one of order u8 | whether others wait behind u8 | level u8
-- | flow 8 | blocker 9 | place 10 | ulid 16. rest: lane 8 | place 10 | ulid 16.
-- A ULID of 26 characters in 16 bytes: ten characters in six bytes, then twice eight in five.
local DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
local VALUE = {}
for i = 1, 32 do VALUE[string.byte(DIGITS, i)] = i - 1 end
local function value(text, from, to)
  local sum = 0
  for i = from, to do sum = sum * 32 + VALUE[string.byte(text, i)] end
  return sum
end
local function digits(number, count)
  local found = {}
  for i = count, 1, -1 do
    local digit = number % 32
    found[i] = string.sub(DIGITS, digit + 1, digit + 1)
    number = (number - digit) / 32
  end
  return table.concat(found)
end
local function binary(ulid)
  return struct.pack('>I6I5I5', value(ulid, 1, 10), value(ulid, 11, 18), value(ulid, 19, 26))
end
local function unbinary(bytes)
  local first, middle, last = struct.unpack('>I6I5I5', bytes)
  return digits(first, 10) .. digits(middle, 8) .. digits(last, 8)
end
local NO_BLOCKER, NO_PLACE = NONE .. '\0', NONE .. '\0\0'

local function lane_read(lane)
  local raw = rc('HGET', K.heads, lane)
  if not raw then return nil end
  local state, is_ordered, more, level, flow, blocker, place, ulid = struct.unpack('>c1BBBc8c9c10c16', raw)
  return {
    state = state, is_ordered = is_ordered == 1, more = more == 1, level = level, flow = flow, blocker = blocker,
    place = place, ulid = unbinary(ulid),
  }
end

local function lane_write(lane, h)
  rc('HSET', K.heads, lane, struct.pack('>c1BBBc8c9c10c16', h.state, h.is_ordered and 1 or 0, h.more and 1 or 0, h.level,
    h.flow, h.blocker or NO_BLOCKER, h.place or NO_PLACE, binary(h.ulid)))
end

local function lane_drop(lane) rc('HDEL', K.heads, lane) end

local function rest_add(lane, place, ulid) rc('ZADD', K.rest, 0, lane .. place .. binary(ulid)) end

local function rest_remove(lane, place, ulid) return rc('ZREM', K.rest, lane .. place .. binary(ulid)) end

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
  return string.sub(member, 9, 18), unbinary(string.sub(member, 19))
end
