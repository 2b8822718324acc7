#!lua flags=allow-oom
-- release: leased → ready, at the head, as if it had not been claimed: no byte left.
-- include: shard writes events record packed state ready wake waiting fence exchanges
--
-- ARGV[1] tokens of exchanges that end with this call
-- ARGV[2...] per message: ulid, token
-- Returns {now_ms, '', verdict per message}; verdicts as ack
--
-- Safe to repeat: the present token with another state answers already.
local ulids, reply = {}, { now_ms, '' }
for i = 2, #ARGV, 2 do ulids[#ulids + 1] = ARGV[i] end
local states = load_states(ulids)
local ready_before, added = ready_length(), false
for i = #ulids, 1, -1 do
  local ulid, s = ulids[i], states[i]
  local verdict = fence(s, ARGV[i * 2 + 1])
  if verdict == OK then
    leave_lease(ulid)
    attempt_undo(s)
    back_to_head(ulid, s)
    added = true
  end
  reply[2 + i] = verdict
end
end_exchanges(ARGV[1])
flush()
wake(nil, nil, ready_before, added)
return reply
