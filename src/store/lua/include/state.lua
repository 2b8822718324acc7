-- include: packed writes
-- The mutable rest of a message: a second small entry that exists once an attempt (or an operator)
-- has touched it, so that no transition rewrites the body (the twin of store/record; packed.lua says where the tail begins).
--
--   version u8 | state c1 | token c20 | flags u8 | band u8 | epoch u16 | due_ms u48 | expires_ms u48
--   | attempts u16 | throttles u32 | window_holds u32 | rescues u8 | first_attempt_ms u48
--   | paused_ms at the first attempt u48 | previous token c20 | final_ms u48 | optional fields | tail
--
-- States: w waiting (in due: scheduled, else ready), L leased, U uncertain, A accepted, D delivered,
-- X dead, E expired, C cancelled. The version is that of the record. Optional fields, where the band of version 3 has 128
-- in addition: as in the record (presence 1: the hash of a collapse key). Flag 1: claimed alone; 2: moved; 4 and 8: see weight; 16 to 128: as in the record. The
-- tail (last attempt, reason) is opaque, and so are the optional fields.
local STATE_HEADER = '>Bc1c20BBHI6I6HI4I4BI6I6c20I6'
-- Flag 2: it went over into another queue, or is on its way there for as long as it has its body.
local MOVED = 2
-- Lost with its node so often, a message goes alone.
local RESCUES_MAX = 2
local FINAL = { D = true, X = true, E = true, C = true }

local function state_pack(s)
  local band = s.fields == '' and s.band or s.band + 128
  return struct.pack(STATE_HEADER, s.version, s.state, s.token, s.flags, band, s.epoch, s.due,
    s.expires, s.attempts, s.throttles, s.holds, s.rescues, s.first, s.paused, s.previous,
    s.final) .. s.fields .. s.tail
end

-- How many bytes stand before the tail; nil where the entry cannot be read (see before_details).
local function before_tail_of_readable(raw)
  local before = before_tail(raw)
  return before and string.find('wLUADXEC', string.sub(raw, 2, 2), 1, true) and before
end

-- Both halves, as far as they are there.
local function is_readable(record, raw)
  return (not record or record_is_readable(record)) and (not raw or before_tail_of_readable(raw) ~= nil)
end

local function state_read(raw)
  local before = raw and before_tail_of_readable(raw)
  if not before then return nil end
  local s = {}
  s.version, s.state, s.token, s.flags, s.band, s.epoch, s.due, s.expires, s.attempts, s.throttles, s.holds,
    s.rescues, s.first, s.paused, s.previous, s.final = struct.unpack(STATE_HEADER, raw)
  s.band = s.band % 128
  s.fields, s.tail = string.sub(raw, STATE_HEADER_BYTES + 1, before), string.sub(raw, before + 1)
  return s
end

-- The final states that are told, without what else the flags say.
local function told_flags(flags) return flags - flags % 16 end

-- The state of a message that nothing has touched since it was scheduled.
local function state_of_record(raw)
  local version, flags, rank, due, expires = struct.unpack(RECORD_HEADER, raw)
  local fields = ''
  if flags % 16 >= 8 then
    -- include: collapse/record
    fields = collapse_fields(raw)
  end
  return {
    version = version, state = 'w', flags = told_flags(flags), band = math.floor(rank / 16), epoch = 0, due = due,
    expires = expires,
    attempts = 0, throttles = 0, holds = 0, rescues = 0, first = 0, paused = 0,
    token = NO_TOKEN, previous = NO_TOKEN, final = 0, fields = fields, tail = '',
  }
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

-- keyed include: lanes/touched
local function state_save(ulid, s)
  gather('HSET', K.states, ulid, state_pack(s))
  -- keyed: touched[ulid] = { s.state }
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

-- Whether an entry still stands for its message; reads no body.
local function entry_is_current(entry)
  local ulid = string.sub(entry, 1, 26)
  local s = load_states({ ulid })[1]
  if s then return s.state == 'w' and entry_of(ulid, s) == entry end
  return string.sub(entry, 28) == FIRST_EPOCH and rc('HEXISTS', K.records, ulid) == 1
end
