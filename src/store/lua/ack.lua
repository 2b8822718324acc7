#!lua flags=allow-oom
-- ack: leased → delivered. Result and final state in one step; the body goes.
-- include: shard writes record state ready finish fence gate
--
-- ARGV[1] tokens of exchanges that end with this call   ARGV[2] retention_ms
-- ARGV[3...] per message: ulid, token, last attempt
-- Returns {now_ms, verdict per message}; verdicts: 0 ok, 1 already, 2 stale, 3 gone, 4 late success
--
-- Safe to repeat: the token of a delivered message stays, so a repeat answers already.
local ulids, reply = {}, { now_ms }
for i = 3, #ARGV, 3 do ulids[#ulids + 1] = ARGV[i] end
local records, states = load(ulids)
local succeeded = false
for i, ulid in ipairs(ulids) do
  local s, token = states[i], ARGV[1 + i * 3]
  local verdict = fence_success(s, token)
  if verdict == OK or verdict == LATE then
    if s.state == 'w' then leave_waiting(ulid, s) end
    if s.state == 'U' then gather('ZREM', K.uncertain, ulid) end
    leave_lease(ulid)
    s.state, s.token, s.tail = 'D', token, ARGV[2 + i * 3]
    finish(ulid, s, records[i], tonumber(ARGV[2]))
    succeeded = true
  end
  reply[#reply + 1] = verdict
end
end_exchanges(ARGV[1])
flush()
if succeeded then gate_success() end
return reply
