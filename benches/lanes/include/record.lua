-- What the record of a message says of its place in the index (header and key table as in src/store/record).
local function keys_of(record)
  local keys, cost = {}, 1
  if math.floor(string.byte(record, 2) / 4) % 2 == 0 then return keys, cost end
  local presence, at = string.byte(record, 23), 26
  if presence % 2 == 1 then
    cost = struct.unpack('>H', record, at)
    at = at + 2
  end
  if math.floor(presence / 2) % 2 == 1 then
    local from = at + 1
    for i = 0, string.byte(record, at) - 1 do
      keys[string.sub(record, from + 10 * i, from + 10 * i + 1)] = string.sub(record, from + 10 * i + 2, from + 10 * i + 9)
    end
  end
  return keys, cost
end

-- 10 bytes: whether no attempt has begun, 1 bit, due time, 42 bits, accept sequence, 37 bits. What has begun stands before all
-- that has not. With these lengths the members and the head fit into smaller allocations.
local DUE_MAX, SEQUENCES = 2 ^ 42 - 1, 2 ^ 37
local function place_of(record, has_begun)
  local due, _, sequence, number = struct.unpack('>I6I6I6B', record, 4)
  due = math.min(due, DUE_MAX)
  local high = math.floor(due / 8)
  return struct.pack('>I5I5', has_begun and high or high + 2 ^ 39, due % 8 * SEQUENCES + (sequence + number) % SEQUENCES)
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

local function level_of(record)
  return math.min(levels - 1, math.floor(string.byte(record, 3) / 16))
end

local lane_ids = {}
-- Lane, whether it is one of order, level and flow of a message.
local function lane_of(record, keys)
  local level, flow = level_of(record), keys[fair_by] or NONE
  local lane = order_by ~= '' and keys[order_by]
  if lane then return lane, true, level, flow end
  local parts = { level, fair_by, flow }
  for i, limit in ipairs(OF_LANES) do parts[i + 3] = limit.per .. (keys[limit.per] or NONE) end
  local said = table.concat(parts)
  lane = lane_ids[said]
  if not lane then
    local hash = redis.sha1hex(said)
    lane = struct.pack('>I4I4', tonumber(string.sub(hash, 1, 8), 16), tonumber(string.sub(hash, 9, 16), 16))
    lane_ids[said] = lane
  end
  return lane, false, level, flow
end
