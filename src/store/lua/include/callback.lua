-- include: state ulid
-- The callback of a message that becomes final: one more message, in the second set of this shard's
-- structures, which the queue `<queue>~callbacks` works on (the twin of store/callbacks.rs).
--
-- Its body is a snapshot of the message as it is now:
--   version u8 | ulid c26 | record length u32 | record without body | state entry
-- It has the version of the message's own record, so that no version is written here that some node cannot read.
-- Its ULID is this moment with the random part of the message's own: it stays in the shard, and a message
-- that becomes final a second time tells so under another id.
local SNAPSHOT_VERSION = RUST.SNAPSHOT_VERSION
-- Flags 16 to 128 of a state entry, by final state.
local TOLD_AT = { D = 16, X = 32, E = 64, C = 128 }
local WORD_OF = { D = 'delivered', X = 'dead', E = 'expired', C = 'cancelled' }
-- A message becomes final so often in one millisecond at most.
local SAME_MOMENT_MAX = 16
local callbacks_woken = false

local function is_told(s)
  return s.flags >= 16 and math.floor(s.flags / TOLD_AT[s.state]) % 2 == 1
end

local function callback_ulid(ulid)
  for ms = now_ms, now_ms + SAME_MOMENT_MAX do
    local new = ulid_of_moment(ms) .. string.sub(ulid, 11)
    if rc('HEXISTS', K.callbacks_records, new) == 0 then return new end
  end
end

-- What shows of a callback without its payload, and stays when it is delivered: whose it is.
local function callback_details(ulid, s)
  local queue = string.match(K.meta, '{.-:(.*)%.%d+}')
  return '{"c":"application/cloudevents+json","l":{"state":"' .. WORD_OF[s.state]
    .. '","subject":"' .. queue .. '_' .. ulid .. '"}}'
end

-- Nothing else is read for a message that nobody is told of.
local function call_back(ulid, s, record)
  record = record or rc('HGET', K.records, ulid)
  local id = record and callback_ulid(ulid)
  if not id then return end
  local told, details = record_without_body(record), callback_details(ulid, s)
  local snapshot = string.char(SNAPSHOT_VERSION) .. ulid .. struct.pack('>I4', #told) .. told .. state_pack(s)
  local packed = record_pack({
    version = record_is_readable(record) and string.byte(record) or RECORD_VERSION_OLDEST, fields = '', flags = 0, priority = 0, band = 0, due = now_ms, expires = 0,
    sequence = rc('HINCRBY', K.callbacks_meta, 'sequence', 1) - 1, number = 0, rest = struct.pack('>H', #details) .. details .. snapshot,
  })
  gather('HSET', K.callbacks_records, id, packed)
  gather('RPUSH', K.callbacks_ready_0, id .. '0' .. '00')
  -- As record_largest, of the other set.
  if #packed > tonumber(rc('HGET', K.callbacks_meta, 'largest') or 0) then
    rc('HSET', K.callbacks_meta, 'largest', #packed)
  end
  if not callbacks_woken and rc('LLEN', K.callbacks_ready_0) == 0 then publish('wake', ' 2', true) end
  callbacks_woken = true
end
