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

-- 13 bytes: due time and accept sequence. What has begun stands before all that has not.
local function place_of(record, has_begun)
  local first = string.byte(record, 4)
  return string.char(has_begun and first or first + 128) .. string.sub(record, 5, 9) .. string.sub(record, 16, 22)
end

-- Lua compares texts by the locale of the server, which knows nothing of bytes.
local function is_before(place, other)
  local due, sequence, number = struct.unpack('>I6I6B', place)
  local other_due, other_sequence, other_number = struct.unpack('>I6I6B', other)
  if due ~= other_due then return due < other_due end
  if sequence ~= other_sequence then return sequence < other_sequence end
  return number < other_number
end

local function due_of_place(place)
  local first = string.byte(place)
  return struct.unpack('>I6', string.char(first % 128) .. string.sub(place, 2, 6))
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
