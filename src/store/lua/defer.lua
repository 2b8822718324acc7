#!lua flags=allow-oom
-- defer: leased → ready, at the head, counted: a throttle (shuts the gate) or a hold by the window.
-- include: shard writes events record packed state ready wake waiting fence exchanges gate trouble shut
--
-- ARGV[1] tokens of exchanges that end with this call
-- ARGV[2] what the attempts show of the downstream, see trouble
-- ARGV[3] kind: throttle, alarm (credentials refused) or hold
-- ARGV[4] how long the gate shuts, ms; -1: by its streak      ARGV[5] why, for people
-- ARGV[6...] per message: ulid, token, last attempt or ''; none: another shard's downstream, shut too
-- Returns {now_ms, reports, verdict per message}; reports and verdicts as ack
--
-- Safe to repeat: the present token with another state answers already, and shuts nothing again.
local kind = ARGV[3]
local ulids, reply = {}, { now_ms, '' }
for i = 6, #ARGV, 3 do ulids[#ulids + 1] = ARGV[i] end
local states = load_states(ulids)
local ready_before, added = ready_length(), false
for i = #ulids, 1, -1 do
  local at, ulid, s = i * 3 + 3, ulids[i], states[i]
  local verdict = fence(s, ARGV[at + 1])
  if verdict == OK then
    leave_lease(ulid)
    if kind == 'throttle' then s.throttles = s.throttles + 1 end
    if kind == 'hold' then s.holds = s.holds + 1 end
    attempt_undo(s, kind ~= 'hold')
    if ARGV[at + 2] ~= '' then s.tail = ARGV[at + 2] end
    back_to_head(ulid, s)
    added = true
  end
  reply[2 + i] = verdict
end
end_exchanges(ARGV[1])
flush()
if added then note_attempts(ARGV[2]) end
if (added or #ulids == 0) and kind ~= 'hold' then gate_shut(kind, tonumber(ARGV[4]), ARGV[5], added) end
reply[2] = reports_text()
wake(nil, nil, ready_before, added)
return reply
