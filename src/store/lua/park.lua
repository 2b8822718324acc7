#!lua flags=allow-oom
-- park: leased → uncertain. The attempt may have reached the downstream; waits for a decision.
-- include: shard writes record state ready fence history uncertain
--
-- ARGV[1] tokens of exchanges that end with this call   ARGV[2] after how long the downstream is asked,
--         ms, or '': never
-- ARGV[3...] per message: ulid, token, last attempt
-- Returns {now_ms, verdict per message}; verdicts as ack
--
-- Safe to repeat: the present token with another state answers already.
local ulids, reply = {}, { now_ms }
local done, lines = {}, {}
for i = 3, #ARGV, 3 do ulids[#ulids + 1] = ARGV[i] end
local states = load_states(ulids)
for i, ulid in ipairs(ulids) do
  local at, s = i * 3, states[i]
  local verdict = fence(s, ARGV[at + 1])
  if verdict == OK then
    leave_lease(ulid)
    s.state, s.tail = 'U', ARGV[at + 2]
    state_save(ulid, s)
    enter_uncertain(ulid, ARGV[2])
    done[#done + 1], lines[#lines + 1] = ulid, s.tail
  end
  reply[#reply + 1] = verdict
end
if #done > 0 then remember(done, lines) end
end_exchanges(ARGV[1])
flush()
return reply
