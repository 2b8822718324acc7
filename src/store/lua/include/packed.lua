-- include: record
-- Shortcuts for the common steps, on packed bytes of a state entry (see state), which has to be decoded for
-- the others. Messages of a call are much alike, so that what is put together for one is remembered for the
-- others.
local STATE_VERSION, STATE_HEADER_BYTES = RUST.STATE_VERSION, RUST.STATE_HEADER_BYTES
local NO_TOKEN = '                    '

-- How records begin up to expires_ms, and the place in which the first claim of such a message finds it;
-- false where that claim is no plain one: with a ttl, with a callback, or unreadable.
local PLAIN_BYTES = 15
local plain_place = setmetatable({}, { __index = function(known, head)
  local version, flags, rank = string.byte(head, 1, 3)
  local is_plain = #head == PLAIN_BYTES and version == RECORD_VERSION and flags == 0 and rank < 160
    and string.sub(head, 10) == NO_MOMENT
  known[head] = is_plain and math.floor(rank / 16) .. FIRST_EPOCH or false
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

-- What a claim returns of an entry: its header, and of the tail no more than whether an earlier attempt's
-- outcome is unknown. Within a string quotes are escaped, so that this is never found in one. A tail that is
-- cut or is not an object may have said so.
local IN_DOUBT = '"u":true'
local function claimed_header(raw)
  if #raw <= STATE_HEADER_BYTES then return raw end
  local header = string.sub(raw, 1, STATE_HEADER_BYTES)
  local is_whole = string.byte(raw, STATE_HEADER_BYTES + 1) == 123 and string.byte(raw, -1) == 125
  if is_whole and not string.find(raw, IN_DOUBT, STATE_HEADER_BYTES + 1, true) then return header end
  return header .. '{' .. IN_DOUBT .. '}'
end

-- Whether a message was claimed alone, as a suspect.
local function is_alone(raw)
  return raw and #raw >= STATE_HEADER_BYTES and string.byte(raw) == STATE_VERSION and string.byte(raw, 23) % 2 == 1
end
