#!lua
-- schedule: – → scheduled or ready. Takes messages in, each once per idempotency key.
-- include: shard writes record state ready idempotency
--
-- ARGV[1] idempotency_window_ms
-- ARGV[2] 1 if this very call may have run before (its reply was lost), else 0
-- ARGV[3...] per message: ulid, due ('+delay_ms' or 'moment_ms'), expires ('' or like due),
--            priority and band (two digits), idempotency key or '', fingerprint, details and body
-- Returns {now_ms, wake, code, ulid, due_ms, ...}; codes: 0 accepted, 1 duplicate (ulid and due_ms are
--         the first message's), 2 the key belongs to a different message (ulid is that one)
--
-- Safe to repeat: a ULID that has a record is answered as accepted again. A duplicate writes too, so
-- that a durability wait after this call covers the first message.
local PER_ITEM = 7

idempotency_turn(tonumber(ARGV[1]))
local may_repeat = ARGV[2] == '1'
local count = (#ARGV - 2) / PER_ITEM
local head, ready_before = due_head(), ready_length()
local sequence = rc('HINCRBY', K.meta, 'sequence', count) - count
local reply, seen = { now_ms, 0 }, {}
local due_first, ready_added
local largest = 0

for i = 0, count - 1 do
  local at = 2 + i * PER_ITEM
  local ulid, key = ARGV[at + 1], ARGV[at + 5]
  local due = moment(ARGV[at + 2], 0)
  local code = 0
  local known = may_repeat and record_read(rc('HGET', K.records, ulid))
  if known then
    due = known.due
  else
    local first, fingerprint, first_due
    if key ~= '' then
      first, fingerprint = idempotency_find(key)
      if first then
        local _, states = load({ first })
        first_due = states[1] and states[1].due
      elseif seen[key] then
        first, fingerprint, first_due = unpack(seen[key])
      end
    end
    if first then
      code = fingerprint == ARGV[at + 6] and 1 or 2
      ulid, due = first, first_due or due
      rc('HINCRBY', K.meta, 'duplicates', 1)
    else
      local ranks = ARGV[at + 4]
      local r = {
        flags = 0, priority = tonumber(string.sub(ranks, 1, 1)), band = tonumber(string.sub(ranks, 2)),
        sequence = sequence + i + 1, due = due, expires = moment(ARGV[at + 3], 0), rest = ARGV[at + 7],
      }
      local record = record_pack(r)
      largest = math.max(largest, #record)
      gather('HSET', K.records, ulid, record)
      local woken = enter_waiting(ulid, { band = r.band, epoch = 0, due = due, expires = r.expires })
      if woken == WAKE_READY then ready_added = true
      elseif not due_first or due < due_first then due_first = due end
      if key ~= '' then
        seen[key] = { ulid, ARGV[at + 6], due }
        gather('HSET', K.idem_new, key, ulid .. ARGV[at + 6])
      end
    end
  end
  reply[#reply + 1] = code
  reply[#reply + 1] = ulid
  reply[#reply + 1] = due
end

record_largest(largest)
flush()
reply[2] = wake(head, due_first, ready_before, ready_added)
return reply
