-- include: ready
-- Whether there is room for one more message in a queue whose backlog is limited. The script has messages_max, bytes_max and key_max:
-- what this shard may have; 0: any number.
local ROOM_FOR = { messages = RUST.BACKLOG_FULL, bytes = RUST.BACKLOG_FULL_BYTES, key = RUST.BACKLOG_FULL_KEY }
local stale_entries = tonumber(rc('HGET', K.meta, 'stale') or 0)
local messages_left = messages_max - (rc('ZCARD', K.due) + ready_length() - stale_entries + rc('ZCARD', K.leased))

local function room_for_messages()
  if messages_max > 0 and messages_left < 1 then return ROOM_FOR.messages end
end
local room_for_counted = function() end
local function take_room() messages_left = messages_left - 1 end
-- keyed include: lanes/room

-- The code of what is full; nil where there is room, which is taken then. Some are taken in also where there is none.
local function refusal(record, is_exempt)
  local code = not is_exempt and (room_for_messages() or room_for_counted(record)) or nil
  if not code then take_room(record) end
  return code
end
