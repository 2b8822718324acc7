-- include: lanes/index lanes/keys
-- The same of bytes, and of messages of one value of a key.
local bytes_there, of_key = tonumber(rc('HGET', K.meta, 'backlog_bytes') or 0), {}

local function key_counted(record)
  local key = structure.counted_by and keys_of(record)[structure.counted_by] or NONE
  of_key[key] = of_key[key] or tonumber(rc('HGET', K.backlog_keys, key) or 0)
  return key
end

-- One message fits into an empty queue, however large it is.
local room_for_counted = function(record)
  if not structure.counts then return nil end
  if bytes_max > 0 and bytes_there > 0 and bytes_there + #record > bytes_max then return ROOM_FOR.bytes end
  if key_max == 0 or not structure.counted_by then return nil end
  if of_key[key_counted(record)] >= key_max then return ROOM_FOR.key end
end

local take_room_of_all = take_room
local function take_room(record)
  take_room_of_all()
  if not structure.counts then return end
  bytes_there = bytes_there + #record
  if structure.counted_by then
    local key = key_counted(record)
    of_key[key] = of_key[key] + 1
  end
end
