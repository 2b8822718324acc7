-- include: record
-- Shortcuts for the common steps, on packed bytes of a state entry (see state), which has to be decoded for
-- the others. Messages of a call are much alike, so that what is put together for one is remembered for the
-- others.
local STATE_HEADER_BYTES = RUST.STATE_HEADER_BYTES
local NO_TOKEN = '                    '

-- How records begin up to expires_ms, and the place in which the first claim of such a message finds it;
-- false where that claim is no plain one: with a ttl, with a callback, or unreadable.
local PLAIN_BYTES = 15
local plain_place = setmetatable({}, { __index = function(known, head)
  local version, flags, rank = string.byte(head, 1, 3)
  local is_plain = #head == PLAIN_BYTES and rank < 160 and string.sub(head, 10) == NO_MOMENT
    and (flags == 0 and (version == RECORD_VERSION or version == RECORD_VERSION_OLDEST)
      or flags == 4 and version == RECORD_VERSION)
  known[head] = is_plain and math.floor(rank / 16) .. FIRST_EPOCH or false
  return known[head]
end })

-- The state entries of first claims with this token, by how records begin: what state_pack would write
-- of state_of_record.
local function first_claims(token, paused_ms)
  local rest = struct.pack('>HI4I4BI6I6c20I6', 1, 0, 0, 0, now_ms, paused_ms, NO_TOKEN, 0)
  local start = 'L' .. token .. '\0'
  return setmetatable({}, { __index = function(known, head)
    local band = string.char(math.floor(string.byte(head, 3) / 16), 0, 0)
    known[head] = string.sub(head, 1, 1) .. start .. band .. string.sub(head, 4) .. rest
    return known[head]
  end })
end

-- How many bytes of a state entry stand before its tail; nil where it cannot be read, whatever its state.
local function before_tail(raw)
  if #raw < STATE_HEADER_BYTES then return nil end
  local version, band = string.byte(raw), string.byte(raw, 24)
  if version < RECORD_VERSION_OLDEST or version > RECORD_VERSION then return nil end
  if band < 10 then return STATE_HEADER_BYTES end
  if version == RECORD_VERSION_OLDEST or band < 128 or band >= 138 then return nil end
  return behind_fields(raw, STATE_HEADER_BYTES)
end

-- Whether an entry says that no final state has a callback, and has no optional fields, as that of a collapse key.
local function ends_alone(raw)
  local flags, band = string.byte(raw, 23, 24)
  return flags < 16 and band < 128
end

local function is_leased_as(raw, token)
  return string.sub(raw, 2, 22) == 'L' .. token
end

-- The entries of leased messages that can be read, delivered now, up to the tail: an ack changes two places, and the
-- flags where messages are weighed (see weight).
local function delivered_of_leased(weighing_number)
  local final = struct.pack('>I6', now_ms)
  return setmetatable({}, { __index = function(known, raw)
    local flags = string.char(string.byte(raw, 23) % 4 + 4 * weighing_number)
    known[raw] = string.sub(raw, 1, 1) .. 'D' .. string.sub(raw, 3, 22) .. flags .. string.sub(raw, 24, 81) .. final
      .. string.sub(raw, STATE_HEADER_BYTES + 1, before_tail(raw))
    return known[raw]
  end })
end

-- What a claim returns of an entry: all before its tail, and of the tail no more than whether an earlier attempt's
-- outcome is unknown. Within a string quotes are escaped, so that this is never found in one. A tail that is
-- cut or is not an object may have said so.
local IN_DOUBT = '"u":true'
local function claimed_header(raw)
  local before = before_tail(raw)
  if not before or #raw == before then return raw end
  local header = string.sub(raw, 1, before)
  local is_whole = string.byte(raw, before + 1) == 123 and string.byte(raw, -1) == 125
  local ended_ms = string.match(raw, '"a":{"n":%d+,"s":%d+,"e":(%d+)', before + 1)
  local ended = ended_ms and '"e":' .. ended_ms
  if is_whole and not string.find(raw, IN_DOUBT, before + 1, true) then
    return ended and header .. '{' .. ended .. '}' or header
  end
  return header .. '{' .. IN_DOUBT .. (ended and ',' .. ended or '') .. '}'
end

-- Whether a message was claimed alone, as a suspect.
local function is_alone(raw)
  return raw and before_tail(raw) and string.byte(raw, 23) % 2 == 1
end
