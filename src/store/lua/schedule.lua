#!lua
-- schedule: – → scheduled or ready. Takes messages in, each once per idempotency key.
-- include: shard writes record state ready idempotency
--
-- ARGV[1] idempotency_window_ms
-- ARGV[2] 1 if this very call may have run before (its reply was lost), else 0
-- ARGV[3...] per message: ulid, due ('+delay_ms' or 'moment_ms'), expires ('' or like due),
--            priority and band (two digits), idempotency key or '', fingerprint, details and body
-- Returns {now_ms, wake, accept sequence before this call, then for each message that was not simply accepted: its number from 0, code,
--         ulid, due_ms}; codes: 0 accepted by an earlier run, 1 duplicate (ulid and due_ms are the first
--         message's), 2 the key belongs to a different message (ulid is that one)
--
-- Safe to repeat: a ULID that has a record is answered as accepted again. A duplicate writes too, so
-- that a durability wait after this call covers the first message.
local PER_ITEM = 7

idempotency_turn(tonumber(ARGV[1]))
local count = (#ARGV - 2) / PER_ITEM
local head, ready_before = due_head(), ready_length()
local sequence = rc('HINCRBY', K.meta, 'sequence', count) - count
local reply, seen = { now_ms, 0, sequence }, {}
local due_first, ready_added
local largest = 0

local ulids = {}
for i = 0, count - 1 do ulids[i + 1] = ARGV[3 + i * PER_ITEM] end
local known = ARGV[2] == '1' and hmget(K.records, ulids) or {}

-- Most messages of a call are due alike: the last moment is kept as number and as text.
local due_said, due, due_text
local function due_of(said)
  if said == due_said then return end
  due_said, due = said, moment(said, 0)
  due_text = string.byte(said) == 43 and string.format('%d', due) or said
end

-- The first message with this key, if there is one: its ulid, fingerprint and due time.
local function first_with(key)
  local first, fingerprint = idempotency_find(key)
  if not first then
    if seen[key] then return unpack(seen[key]) end
    return nil
  end
  local _, states = load({ first })
  return first, fingerprint, states[1] and states[1].due
end

local records, entries, ready = {}, {}, {}
local function accept(number, ulid, expires_said, ranks, rest)
  local expires = expires_said == '' and NO_MOMENT or struct.pack('>I6', moment(expires_said, 0))
  local record = RECORD_OF_RANK[ranks] .. struct.pack('>I6I6', sequence + number + 1, due) .. expires .. rest
  local size, n = #record, #records
  if size > largest then largest = size end
  records[n + 1], records[n + 2] = ulid, record
  local band = string.sub(ranks, 2)
  if due <= now_ms then
    ready_tail(ulid .. band .. '00', tonumber(band))
    ready_added = true
  else
    n = #entries
    entries[n + 1], entries[n + 2] = due_text, ulid .. band .. '00'
    if not due_first or due < due_first then due_first = due end
  end
  if expires ~= NO_MOMENT then gather('ZADD', K.expiry, moment(expires_said, 0), ulid) end
end

for number = 0, count - 1 do
  local at = 2 + number * PER_ITEM
  local ulid, key = ARGV[at + 1], ARGV[at + 5]
  local code, first, fingerprint, first_due
  due_of(ARGV[at + 2])
  if known[number + 1] then
    code, first_due = 0, record_read(known[number + 1]).due
  elseif key ~= '' then
    first, fingerprint, first_due = first_with(key)
    if first then
      code = fingerprint == ARGV[at + 6] and 1 or 2
      rc('HINCRBY', K.meta, 'duplicates', 1)
    end
  end
  if code then
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = number, code, first or ulid, first_due or due
  else
    accept(number, ulid, ARGV[at + 3], ARGV[at + 4], ARGV[at + 7])
    if key ~= '' then
      seen[key] = { ulid, ARGV[at + 6], due }
      gather('HSET', K.idem_new, key, ulid .. ARGV[at + 6])
    end
  end
end

record_largest(largest)
write_all('HSET', K.records, records)
write_all('ZADD', K.due, entries)
flush()
reply[2] = wake(head, due_first, ready_before, ready_added)
return reply
