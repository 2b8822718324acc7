-- include: shard
-- The record of a message: header, optional fields, details and body in one value (the twin of store/record).
--
--   version u8 | flags u8 | priority + 16 * band u8 | due_ms u48 | expires_ms u48
--   | accept sequence before its call u48 | number in its call u8 | optional fields | details length u16 | details | body
--
-- Optional fields, where version 3 has flag 4: which there are u8 | length u16 | the fields (see store/record/optional.rs).
-- They, details and body are opaque here, and stay as they are in whatever is written. Flag 1: the body was dropped at a
-- final state; flag 2: the body was edited; flag 8: it has a collapse key (see collapse/record); flags 16 to 128: the final states that have a callback (see callback).
-- Version 2 has no optional fields. What is written again keeps its version.
local RECORD_VERSION, RECORD_VERSION_OLDEST = RUST.RECORD_VERSION, RUST.RECORD_VERSION_OLDEST
local RECORD_HEADER = '>BBBI6I6I6B'
local RECORD_HEADER_BYTES = RUST.RECORD_HEADER_BYTES
local MOMENT_MAX_MS = 2 ^ 48 - 1
local NO_MOMENT = '\0\0\0\0\0\0'
-- What stands behind ULID and band in the entry of a message that nothing has touched (see entry_of).
local FIRST_EPOCH = '00'

-- A moment as callers write it: '' (as it was), 'moment_ms' or '+delay_ms', counted from this call.
local function moment(text, otherwise)
  if text == '' then return otherwise end
  local from_ms = string.byte(text) == 43 and now_ms or 0
  return math.min(MOMENT_MAX_MS, from_ms + tonumber(text))
end

-- How many bytes a value takes up to the end of the optional fields that follow its header; nil: they are cut.
local function behind_fields(raw, header_bytes)
  local _, high, low = string.byte(raw, header_bytes + 1, header_bytes + 3)
  local bytes = low and header_bytes + 3 + 256 * high + low
  return bytes and #raw >= bytes and bytes or nil
end

local function record_pack(r)
  return struct.pack(RECORD_HEADER, r.version, r.flags, r.priority + 16 * r.band, r.due,
    r.expires, r.sequence, r.number) .. r.fields .. r.rest
end

-- How many bytes stand before the details; nil where the record cannot be read. What is cut, or written by a newer
-- version, is nobody's to change here: whoever meets it leaves it as it is, and doctor puts it in its place once it can
-- be read (see claim and audit).
local function before_details(raw)
  if #raw < RECORD_HEADER_BYTES + 2 then return nil end
  local version, flags, rank = string.byte(raw, 1, 3)
  if version < RECORD_VERSION_OLDEST or version > RECORD_VERSION or rank >= 160 then return nil end
  if flags % 8 < 4 or version == RECORD_VERSION_OLDEST then return RECORD_HEADER_BYTES end
  local bytes = behind_fields(raw, RECORD_HEADER_BYTES)
  return bytes and #raw >= bytes + 2 and bytes or nil
end

-- What a message takes of limits: the first optional field, by bit 1. The record has to be readable.
local function record_cost(raw)
  local version, flags = string.byte(raw, 1, 2)
  if flags % 8 < 4 or version == RECORD_VERSION_OLDEST then return 1 end
  local presence, _, _, high, low = string.byte(raw, RECORD_HEADER_BYTES + 1, RECORD_HEADER_BYTES + 5)
  return presence % 2 == 1 and 256 * high + low or 1
end

local function record_is_readable(raw) return before_details(raw) ~= nil end

local function record_read(raw)
  local before = raw and before_details(raw)
  if not before then return nil end
  local version, flags, rank, due, expires, sequence, number = struct.unpack(RECORD_HEADER, raw)
  return {
    version = version, flags = flags, priority = rank % 16, band = math.floor(rank / 16), due = due, expires = expires,
    sequence = sequence, number = number, fields = string.sub(raw, RECORD_HEADER_BYTES + 1, before),
    rest = string.sub(raw, before + 1),
  }
end

-- How the newest version begins without optional fields and without a body.
local WITHOUT_BODY = string.char(RECORD_VERSION, 1)

-- The record without its body: what stays when a message is delivered. The most frequent kind is taken first, and costs no call.
local function record_without_body(raw)
  local version, flags, rank = string.byte(raw, 1, 3)
  if version == RECORD_VERSION and flags % 8 < 4 and rank < 160 and #raw >= RECORD_HEADER_BYTES + 2 then
    local high, low = string.byte(raw, RECORD_HEADER_BYTES + 1, RECORD_HEADER_BYTES + 2)
    return WITHOUT_BODY .. string.sub(raw, 3, RECORD_HEADER_BYTES + 2 + 256 * high + low)
  end
  local before = before_details(raw)
  if not before then return raw end
  local high, low = string.byte(raw, before + 1, before + 2)
  return string.char(string.byte(raw), before > RECORD_HEADER_BYTES and 5 or 1)
    .. string.sub(raw, 3, before + 2 + 256 * high + low)
end

-- Remembers the largest record that this shard ever took in: claims read so many at once that they
-- stay within their bytes whatever they meet.
local function record_largest(bytes)
  if bytes > tonumber(rc('HGET', K.meta, 'largest') or 0) then rc('HSET', K.meta, 'largest', bytes) end
end
