#!lua flags=allow-oom
-- bury: leased → dead, with the reason kept.
-- include: shard writes events record packed state finals wake callback weight waited finish fence exchanges gate shut receipt
--
-- ARGV[1] tokens of exchanges that end with this call   ARGV[2] retention_ms
-- ARGV[3] 1: the answer makes the downstream itself suspect; five such in a row shut the gate
-- ARGV[4] why, for people   ARGV[5] retention_ms of delivered messages, where a receipt was faster
-- ARGV[6...] per message: ulid, token, last attempt
-- Returns {now_ms, verdict per message}; verdicts as ack
--
-- Safe to repeat: the token of a dead message stays, so a repeat answers already.
local SUSPECTS_MAX = 5
local ulids, reply, buried = {}, { now_ms }, 0
local keep = { delivered = tonumber(ARGV[5]), dead = tonumber(ARGV[2]) }
for i = 6, #ARGV, 3 do ulids[#ulids + 1] = ARGV[i] end
local states = load_states(ulids)
for i, ulid in ipairs(ulids) do
  local at, s = i * 3 + 3, states[i]
  local verdict = fence(s, ARGV[at + 1])
  if verdict == OK then
    leave_lease(ulid)
    s.tail = ARGV[at + 2]
    if not close_early(ulid, s, keep) then
      s.state, buried = 'X', buried + 1
      finish(ulid, s, nil, keep.dead)
    end
  end
  reply[#reply + 1] = verdict
end
end_exchanges(ARGV[1])
flush()
if ARGV[3] == '1' and buried > 0 then
  if rc('HINCRBY', K.meta, 'refusals', buried) >= SUSPECTS_MAX then gate_shut('alarm', -1, ARGV[4]) end
end
return reply
