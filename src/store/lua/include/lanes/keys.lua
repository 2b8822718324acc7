-- include: record lanes/structure
-- What the record and the state of a message say of its place in the index of lanes.

-- The hash of the empty value: a message that has it is as one without the key.
local EMPTY = '\227\176\196\066\152\252\028\020'

-- The keys of a message, by the hashes of their names, from the key table of its record; none where it cannot be read.
local function keys_of(record)
  local keys = {}
  if not record or not record_is_readable(record) then return keys end
  local version, flags = string.byte(record, 1, 2)
  if flags % 8 < 4 or version == RECORD_VERSION_OLDEST then return keys end
  local at = RECORD_HEADER_BYTES + 1
  local presence = string.byte(record, at)
  at = at + 3
  if presence % 2 == 1 then at = at + 2 end
  if math.floor(presence / 2) % 2 == 0 then return keys end
  local from = at + 1
  for i = 0, string.byte(record, at) - 1 do
    local key = from + 10 * i
    local value = string.sub(record, key + 2, key + 9)
    if value ~= EMPTY then keys[string.sub(record, key, key + 1)] = value end
  end
  return keys
end

-- 10 bytes: whether no attempt has begun, 1 bit; due time, 42 bits; accept sequence, 37 bits. What has begun stands before all
-- that has not. With these lengths the members of `rest` fit into a smaller allocation.
local DUE_MAX, SEQUENCES = 2 ^ 42 - 1, 2 ^ 37
local function place_of(record, s)
  local _, sequence, number = struct.unpack('>I6I6B', record, 10)
  local due, high = math.min(s.due, DUE_MAX), nil
  high = math.floor(due / 8)
  if s.attempts == 0 and s.throttles == 0 then high = high + 2 ^ 39 end
  return struct.pack('>I5I5', high, due % 8 * SEQUENCES + (sequence + number) % SEQUENCES)
end

local function place_has_begun(place) return string.byte(place) < 128 end

-- Lua compares texts by the locale of the server, which knows nothing of bytes.
local function is_before(place, other)
  local high, low = struct.unpack('>I5I5', place)
  local other_high, other_low = struct.unpack('>I5I5', other)
  return high < other_high or (high == other_high and low < other_low)
end

local function due_of_place(place)
  local high, low = struct.unpack('>I5I5', place)
  return high % 2 ^ 39 * 8 + math.floor(low / SEQUENCES)
end

-- The lane of an order key: the hash of its value, and in its first two bytes that of the name of the key too, so that two keys
-- with equal values do not share their lanes.
local function lane_of_order(name, value)
  local a, b, c, d = string.byte(name, 1), string.byte(name, 2), string.byte(value, 1, 2)
  return string.char(bit.bxor(a, c), bit.bxor(b, d)) .. string.sub(value, 3)
end

local lane_ids = {}

-- Where a message belongs by a structure: lane, whether that is one of order, level and flow. A lane that is not one of order has
-- the same id by two structures only where all that stands in it belongs there by both: how many levels there are decides who
-- shares one, and the key of order who has a lane of another kind.
local function lane_of(structure, s, keys)
  local level = math.min(structure.levels - 1, s.band)
  local flow = structure.fair_by and keys[structure.fair_by] or NONE
  local value = structure.order_by and keys[structure.order_by]
  if value then return lane_of_order(structure.order_by, value), true, level, flow end
  local parts = {
    structure.levels, ' ', level, structure.order_by and 'o' .. structure.order_by or 'n', structure.fair_by or '', flow,
  }
  for _, limit in ipairs(structure.of_lanes) do
    parts[#parts + 1] = limit.per
    parts[#parts + 1] = keys[limit.per] or NONE
  end
  local said = table.concat(parts)
  local lane = lane_ids[said]
  if not lane then
    local hash = redis.sha1hex(said)
    lane = struct.pack('>I4I4', tonumber(string.sub(hash, 1, 8), 16), tonumber(string.sub(hash, 9, 16), 16))
    lane_ids[said] = lane
  end
  return lane, false, level, flow
end

-- The blockers that may hold a lane whose head has these keys: each limit that holds lanes, with the value of its key.
local function blockers_of(structure, keys)
  local blockers = {}
  for i, limit in ipairs(structure.of_lanes) do blockers[i] = limit.id .. (keys[limit.per] or NONE) end
  return blockers
end
