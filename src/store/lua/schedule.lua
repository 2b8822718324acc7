#!lua
-- schedule: – → scheduled or ready. Takes messages in, each once per idempotency key.
-- include: shard events new_record ready wake idempotency
--
-- args: window_ms:number caller version:number width:number messages_max:number bytes_max:number key_max:number value...
-- window_ms: of idempotency. caller: node (12 bytes) and a number of this very call (16 digits); a repeat (its reply was lost)
-- names the same. Of messages with a collapse key, for how long cancelled ones are kept, ms, stands behind it. version: of new
-- records. messages_max, bytes_max, key_max: what the backlog of this shard may have (see room); 0: any number. width: values of
-- each message: 4, or 3 where none of them has an idempotency key:
-- ulid; ranks (see new_record), 'x' where it is taken in also if there is no room, and due ('+delay_ms' or 'moment_ms'), with a
-- ttl '/' and expires like due, or '=ttl_ms', the default of the queue, from the due time; its number in this call (u8), optional
-- fields, details and body; fingerprint (16 bytes) and key or ''.
-- returns: now_ms:number wake:number sequence:number (number:number code:number ulid due_ms:number)...
-- sequence: the accept sequence before this call. A row for each message that was not simply accepted, number: from 0;
-- codes: 0 accepted by an earlier run, or due at another time than it said, 1 duplicate (ulid and due_ms are the first
-- message's), 2 the key belongs to a different message (ulid is that one); 3 it took the place of a message with its collapse key
-- (ulid and due_ms are that one's), 4 accepted, and the older one was cancelled; and what of the backlog is full (see room):
-- this message was not taken in.
--
-- Safe to repeat: the shard remembers each node's last call, and the same call takes nothing in again. A
-- repeat and a duplicate write too, so that a durability wait after this call covers the first message. An id
-- that follows from what the message comes from may come again in any later call: its key tells (given.rs).
local FINGERPRINT_BYTES = RUST.FINGERPRINT_BYTES

idempotency_turn(window_ms)
local count = ROWS / width
local sequence = rc('HINCRBY', K.meta, 'sequence', count) - count
local reply, seen = REPLY { now_ms = now_ms, wake = 0, sequence = sequence }, {}
local due_first
local largest = 0

local field, call = string.sub(caller, 1, 12) .. '+', string.sub(caller, 13)
local ran_before = rc('HGET', K.claims, field) == call
rc('HSET', K.claims, field, call)

-- What of the backlog was full for messages of this very call: a repeat says so again.
local refused, refused_field = {}, field .. '!'

local function tell(number, code, ulid, due)
  REPLY_ROW { number = number, code = code, ulid = ulid, due_ms = due }
end

-- Most messages of a call wait alike: what follows from the last wish is kept.
local wish, due, due_text, expires, place, start, is_exempt, default_ttl_ms
local sequence_packed = struct.pack('>I6', sequence)
local function understand(said)
  if said == wish then return end
  wish = said
  local ranks, exempt, due_from = string.match(said, '^(%d%d%u?[ok]?)(x?)()')
  local due_said = string.sub(said, due_from)
  local slash = string.find(said, '/', 3, true)
  local expires_said = slash and string.sub(said, slash + 1) or ''
  if slash then due_said = string.sub(said, due_from, slash - 1) end
  due = moment(due_said, 0)
  default_ttl_ms = tonumber(string.match(expires_said, '^=(%d+)$') or nil)
  is_exempt, expires = exempt ~= '', default_ttl_ms and math.min(MOMENT_MAX_MS, due + default_ttl_ms) or moment(expires_said, 0)
  due_text = string.byte(due_said) == 43 and string.format('%d', due) or due_said
  place = string.sub(ranks, 2, 2) .. FIRST_EPOCH
  start = RECORD_OF_RANK[ranks] .. struct.pack('>I6I6', due, expires) .. sequence_packed
end

-- The first message with this key, if there is one: its ulid, fingerprint and due time.
local function first_with(key)
  local first, fingerprint = idempotency_find(key)
  if not first then
    if seen[key] then return unpack(seen[key]) end
    return nil
  end
  -- include: packed state
  local _, states = load({ first })
  return first, fingerprint, states[1] and states[1].due
end

-- Tells of a message whose key is known; whether it is. Else its key, to be remembered if the message is taken in.
local function is_known(number, ulid, extras)
  local fingerprint, key = string.sub(extras, 1, FINGERPRINT_BYTES), string.sub(extras, FINGERPRINT_BYTES + 1)
  local first, first_fingerprint, first_due = first_with(key)
  if first and not (ran_before and first == ulid) then
    rc('HINCRBY', K.meta, 'duplicates', 1)
    tell(number, first_fingerprint == fingerprint and 1 or 2, first, first_due or due)
    return true
  end
  return false, key, fingerprint, first ~= nil
end

-- From here on the key belongs to this message.
local function remember_key(ulid, key, fingerprint, is_stored)
  seen[key] = { ulid, fingerprint, due }
  if not is_stored then gather('HSET', K.idem_new, key, ulid .. fingerprint) end
end

local function has_room(record)
  -- include: room
  has_room = function(record) return refusal(record, is_exempt) end
  return has_room(record)
end
local is_limited = messages_max > 0 or bytes_max > 0 or key_max > 0

-- This very call ran before: nothing is left to do but to say so once more. What it woke is not known any more.
local function repeated()
  -- include: packed state
  reply[REPLY.wake] = WAKE_DUE + WAKE_READY
  local ulids, codes = {}, {}
  local said = rc('HGET', K.claims, refused_field) or ''
  if string.sub(said, 1, #call) == call then
    for number, code in string.gmatch(string.sub(said, #call + 1), '(%d+):(%d+)') do codes[tonumber(number)] = tonumber(code) end
  end
  for i = 0, count - 1 do ulids[i + 1] = ARGV[ROWS_FROM + i * width] end
  local _, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    local at = ROWS_FROM + (i - 1) * width
    understand(ARGV[at + 1])
    local extras = width == 4 and ARGV[at + 3] or ''
    local is_known_key, key, fingerprint, is_stored = false, nil, nil, nil
    if extras ~= '' then is_known_key, key, fingerprint, is_stored = is_known(i - 1, ulid, extras) end
    if not is_known_key then
      if key and not codes[i - 1] then remember_key(ulid, key, fingerprint, is_stored) end
      tell(i - 1, codes[i - 1] or 0, ulid, states[i] and states[i].due or due)
    end
  end
  return reply
end

-- In the form for messages with a collapse key all of a call have one.
-- collapsing: local function take_collapsing()
  -- collapsing include: collapse/intake
-- collapsing: end
-- collapsing: do return take_collapsing() end
if ran_before then return repeated() end
local records, entries, ready, n, d = {}, {}, {}, 0, 0
local tells = is_heard()
local function take_in(number, ulid, record, key, fingerprint, is_stored)
  if key then remember_key(ulid, key, fingerprint, is_stored) end
  if #record > largest then largest = #record end
  records[n + 1], records[n + 2], n = ulid, record, n + 2
  if due <= now_ms then
    ready[#ready + 1] = ulid .. place
  else
    entries[d + 1], entries[d + 2], d = due_text, ulid .. place, d + 2
    if not due_first or due < due_first then due_first = due end
  end
  if expires > 0 then gather('ZADD', K.expiry, expires, ulid) end
  if tells then tell_change(ulid, due <= now_ms and 'r' or 's') end
  -- keyed: if structure.counts then touched[ulid] = { 'w', record } end
end
for number = 0, count - 1 do
  local at = ROWS_FROM + number * width
  local ulid, said = ARGV[at], ARGV[at + 1]
  if said ~= wish then understand(said) end
  local extras = width == 4 and ARGV[at + 3] or ''
  local is_known_key, key, fingerprint, is_stored = false, nil, nil, nil
  if extras ~= '' then is_known_key, key, fingerprint, is_stored = is_known(number, ulid, extras) end
  if not is_known_key then
    local record = start .. ARGV[at + 2]
    local full = is_limited and has_room(record)
    if full then
      refused[#refused + 1] = number .. ':' .. full
      tell(number, full, ulid, due)
    else
      take_in(number, ulid, record, key, fingerprint, is_stored)
    end
  end
end
if #refused > 0 then rc('HSET', K.claims, refused_field, call .. table.concat(refused, ' ')) end

-- What stood there before this call, where it matters.
local head, ready_before = due_first and due_head(), #ready > 0 and ready_length()
record_largest(largest)
write_all('HSET', K.records, records)
write_all('ZADD', K.due, entries)
ready_tail_all(ready)
flush()
reply[REPLY.wake] = wake(head, due_first, ready_before, #ready > 0)
return reply
