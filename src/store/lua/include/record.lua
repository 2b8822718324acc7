-- include: shard
-- The record of a message: header, details and body in one value (the twin of store/record.rs).
--
--   version u8 | flags u8 | priority + 16 * band u8 | due_ms u48 | expires_ms u48
--   | accept sequence before its call u48 | number in its call u8 | details length u16 | details | body
--
-- Body and details are opaque here. Flag 1: the body was dropped at a final state; flag 2: the body was edited;
-- flags 16 to 128: the final states that are told (see callback). What comes first is alike for many messages of a call, so that
-- it is put together once.
local RECORD_VERSION = RUST.RECORD_VERSION
local RECORD_HEADER = '>BBBI6I6I6B'
local RECORD_HEADER_BYTES = RUST.RECORD_HEADER_BYTES
-- How one begins whose body was dropped: version and flags.
local WITHOUT_BODY = string.char(RECORD_VERSION, 1)
local MOMENT_MAX_MS = 2 ^ 48 - 1
local NO_MOMENT = '\0\0\0\0\0\0'
-- What stands behind ULID and band in the entry of a message that nothing has touched (see entry_of).
local FIRST_EPOCH = '00'

-- The first bytes of a new record, by priority and band as two digits; then, where final states are told,
-- which, as a letter.
local RECORD_OF_RANK = setmetatable({}, { __index = function(known, ranks)
  local rank = tonumber(string.sub(ranks, 1, 1)) + 16 * tonumber(string.sub(ranks, 2, 2))
  local told = string.byte(ranks, 3)
  known[ranks] = string.char(RECORD_VERSION, told and 16 * (told - 64) or 0, rank)
  return known[ranks]
end })

-- A moment as callers write it: '' (as it was), 'moment_ms' or '+delay_ms', counted from this call.
local function moment(text, otherwise)
  if text == '' then return otherwise end
  local from_ms = string.byte(text) == 43 and now_ms or 0
  return math.min(MOMENT_MAX_MS, from_ms + tonumber(text))
end

local function record_pack(r)
  return struct.pack(RECORD_HEADER, RECORD_VERSION, r.flags, r.priority + 16 * r.band, r.due,
    r.expires, r.sequence, r.number) .. r.rest
end

-- What is cut, or written by a newer version, is nobody's to change here: whoever meets it leaves it
-- as it is, and doctor puts it in its place once it can be read (see claim and audit).
local function record_is_readable(raw)
  if #raw < RECORD_HEADER_BYTES + 2 then return false end
  local version, _, rank = string.byte(raw, 1, 3)
  return version == RECORD_VERSION and rank < 160
end

local function record_read(raw)
  if not raw then return nil end
  local _, flags, rank, due, expires, sequence, number = struct.unpack(RECORD_HEADER, raw)
  return {
    flags = flags, priority = rank % 16, band = math.floor(rank / 16), due = due, expires = expires,
    sequence = sequence, number = number, rest = string.sub(raw, RECORD_HEADER_BYTES + 1),
  }
end

-- The record without its body: what stays when a message is delivered.
local function record_without_body(raw)
  if not record_is_readable(raw) then return raw end
  local high, low = string.byte(raw, RECORD_HEADER_BYTES + 1, RECORD_HEADER_BYTES + 2)
  return WITHOUT_BODY .. string.sub(raw, 3, RECORD_HEADER_BYTES + 2 + 256 * high + low)
end

-- Remembers the largest record that this shard ever took in: claims read so many at once that they
-- stay within their bytes whatever they meet.
local function record_largest(bytes)
  if bytes > tonumber(rc('HGET', K.meta, 'largest') or 0) then rc('HSET', K.meta, 'largest', bytes) end
end
