-- The mutable rest of a message: a second small entry that exists once an attempt (or an operator)
-- has touched it, so that no transition rewrites the body (the twin of store/record.rs).
--
--   version u8 | state c1 | token c20 | flags u8 | band u8 | epoch u16 | due_ms u48 | expires_ms u48
--   | attempts u16 | throttles u32 | window_holds u32 | rescues u8 | first_attempt_ms u48
--   | paused_ms at the first attempt u48 | previous token c20 | final_ms u48 | tail
--
-- States: w waiting (in due: scheduled, else ready), L leased, U uncertain, A accepted, D delivered,
-- X dead, E expired, C cancelled. Flag 1: claimed alone; 2: moved; 4 and 8: see weight; 16 to 128: as in the record. The
-- tail (last attempt, reason) is opaque.
local STATE_VERSION = 2
local STATE_HEADER = '>Bc1c20BBHI6I6HI4I4BI6I6c20I6'
local STATE_HEADER_BYTES = 87
local NO_TOKEN = string.rep(' ', 20)
-- Flag 2: it went over into another queue, or is on its way there for as long as it has its body.
local MOVED = 2
local FINAL = { D = true, X = true, E = true, C = true }
local FINAL_KEY = { D = K.delivered, X = K.dead, E = K.expired, C = K.cancelled }

local function state_pack(s)
  return struct.pack(STATE_HEADER, STATE_VERSION, s.state, s.token, s.flags, s.band, s.epoch, s.due,
    s.expires, s.attempts, s.throttles, s.holds, s.rescues, s.first, s.paused, s.previous,
    s.final) .. s.tail
end

-- See record_is_readable.
local function state_is_readable(raw)
  return #raw >= STATE_HEADER_BYTES and string.byte(raw) == STATE_VERSION
    and string.find('wLUADXEC', string.sub(raw, 2, 2), 1, true) ~= nil and string.byte(raw, 24) < 10
end

-- Both halves, as far as they are there.
local function is_readable(record, raw)
  return (not record or record_is_readable(record)) and (not raw or state_is_readable(raw))
end

local function state_read(raw)
  if not raw or not state_is_readable(raw) then return nil end
  local s = {}
  local _
  _, s.state, s.token, s.flags, s.band, s.epoch, s.due, s.expires, s.attempts, s.throttles, s.holds,
    s.rescues, s.first, s.paused, s.previous, s.final = struct.unpack(STATE_HEADER, raw)
  s.tail = string.sub(raw, STATE_HEADER_BYTES + 1)
  return s
end

-- The final states that are told, without what else the flags say.
local function told_flags(flags) return flags - flags % 16 end

-- The state of a message that nothing has touched since it was scheduled.
local function state_of_record(raw)
  local _, flags, rank, due, expires = struct.unpack(RECORD_HEADER, raw)
  return {
    state = 'w', flags = told_flags(flags), band = math.floor(rank / 16), epoch = 0, due = due,
    expires = expires,
    attempts = 0, throttles = 0, holds = 0, rescues = 0, first = 0, paused = 0,
    token = NO_TOKEN, previous = NO_TOKEN, final = 0, tail = '',
  }
end

-- Shortcuts for the common steps, on packed bytes. Messages of a call are much alike, so that what is
-- put together for one is remembered for the others.

-- The place of a message that nothing has touched, by band.
local FIRST_PLACE = {}
for band = 0, 9 do FIRST_PLACE[band] = band .. '00' end

-- How records begin up to expires_ms, and the place in which the first claim of such a message finds it;
-- false where that claim is no plain one: with a ttl, with a callback, or unreadable.
local PLAIN_BYTES = 15
local plain_place = setmetatable({}, { __index = function(known, head)
  local version, flags, rank = string.byte(head, 1, 3)
  local is_plain = #head == PLAIN_BYTES and version == RECORD_VERSION and flags == 0 and rank < 160
    and string.sub(head, 10) == NO_MOMENT
  known[head] = is_plain and FIRST_PLACE[math.floor(rank / 16)] or false
  return known[head]
end })

-- The state entries of first claims with this token, by how records begin: what state_pack would write
-- of state_of_record.
local function first_claims(token, paused_ms)
  local rest = struct.pack('>HI4I4BI6I6c20I6', 1, 0, 0, 0, now_ms, paused_ms, NO_TOKEN, 0)
  local start = string.char(STATE_VERSION) .. 'L' .. token .. '\0'
  return setmetatable({}, { __index = function(known, head)
    local band = string.char(math.floor(string.byte(head, 3) / 16), 0, 0)
    known[head] = start .. band .. string.sub(head, 4) .. rest
    return known[head]
  end })
end

-- Whether an entry says that nobody is told of any final state.
local function is_untold(raw) return string.byte(raw, 23) < 16 end

local function is_leased_as(raw, token)
  return string.sub(raw, 2, 22) == 'L' .. token
end

-- The entries of leased messages, delivered now, up to the tail: an ack changes two places, and the flags
-- where messages are weighed (see weight).
local function delivered_of_leased(weighing_number)
  local final = struct.pack('>I6', now_ms)
  return setmetatable({}, { __index = function(known, raw)
    local flags = string.char(string.byte(raw, 23) % 4 + 4 * weighing_number)
    known[raw] = string.sub(raw, 1, 1) .. 'D' .. string.sub(raw, 3, 22) .. flags .. string.sub(raw, 24, 81) .. final
    return known[raw]
  end })
end

-- The states of messages that were claimed, without their bodies; false where there is none, or none
-- that can be read. A message named twice in a call has one state, so that its second step sees the
-- first. Also the entries as they came.
local function load_states(ulids)
  local raws = hmget(K.states, ulids)
  local states, known = {}, {}
  for i, ulid in ipairs(ulids) do
    known[ulid] = known[ulid] or state_read(raws[i]) or false
    states[i] = known[ulid]
  end
  return states, raws
end

-- Both halves of each message: raw records and decoded states. A message that is gone has neither;
-- one that cannot be read has no state.
local function load(ulids)
  local records, untouched = hmget(K.records, ulids), {}
  local states, raws = load_states(ulids)
  for i, ulid in ipairs(ulids) do
    if not records[i] or not record_is_readable(records[i]) then
      states[i] = false
    elseif not raws[i] then
      untouched[ulid] = untouched[ulid] or state_of_record(records[i])
      states[i] = untouched[ulid]
    end
  end
  return records, states
end

local function state_save(ulid, s)
  gather('HSET', K.states, ulid, state_pack(s))
end

local function is_moved(s)
  return math.floor(s.flags / MOVED) % 2 == 1
end

local function is_moving(s, record)
  return is_moved(s) and string.byte(record, 2) % 2 == 0
end

local function epoch_text(epoch)
  return string.char(48 + math.floor(epoch / 64), 48 + epoch % 64)
end

-- What stands in due and ready: an entry of an older epoch is stale and is skipped.
local function entry_of(ulid, s)
  return ulid .. s.band .. epoch_text(s.epoch)
end

local function epoch_next(s)
  s.epoch = (s.epoch + 1) % 4096
end
