#!lua flags=allow-oom
-- bury: leased → dead, with the reason kept.
-- include: shard writes events record packed state finals wake callback weight waited finish fence exchanges gate trouble shut receipt
--
-- ARGV[1] tokens of exchanges that end with this call
-- ARGV[2] what the attempts show of the downstream, see trouble   ARGV[3] retention_ms
-- ARGV[4] 1: the answer makes the downstream itself suspect; five such in a row shut the gate
-- ARGV[5] why, for people   ARGV[6] retention_ms of delivered messages, where a receipt was faster
-- ARGV[7...] per message: ulid, token, last attempt
-- Returns {now_ms, reports, verdict per message}; reports and verdicts as ack
--
-- Safe to repeat: the token of a dead message stays, so a repeat answers already.
local SUSPECTS_MAX = 5
local ulids, reply, buried, settled = {}, { now_ms, '' }, 0, false
local keep = { delivered = tonumber(ARGV[6]), dead = tonumber(ARGV[3]) }
for i = 7, #ARGV, 3 do ulids[#ulids + 1] = ARGV[i] end
local states = load_states(ulids)
for i, ulid in ipairs(ulids) do
  local at, s = i * 3 + 4, states[i]
  local verdict = fence(s, ARGV[at + 1])
  if verdict == OK then
    leave_lease(ulid)
    settled = true
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
if settled then note_attempts(ARGV[2]) end
if ARGV[4] == '1' and buried > 0 then
  if rc('HINCRBY', K.meta, 'refusals', buried) >= SUSPECTS_MAX then gate_shut('alarm', -1, ARGV[5], true) end
end
reply[2] = reports_text()
return reply
