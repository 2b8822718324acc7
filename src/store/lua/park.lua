#!lua flags=allow-oom
-- park: leased → uncertain. The attempt may have reached the downstream; waits for a decision.
-- include: shard writes events record packed state finals wake callback weight waited finish fence exchanges history trouble uncertain receipt
--
-- ARGV[1] tokens of exchanges that end with this call
-- ARGV[2] what the attempts show of the downstream, see trouble
-- ARGV[3] after how long the downstream is asked, ms, or '': never
-- ARGV[4] retention_ms of delivered messages   ARGV[5] of dead ones, where a receipt was faster
-- ARGV[6...] per message: ulid, token, last attempt
-- Returns {now_ms, reports, verdict per message}; reports and verdicts as ack
--
-- Safe to repeat: the present token with another state answers already.
local ulids, reply, settled = {}, { now_ms, '' }, false
local keep = { delivered = tonumber(ARGV[4]), dead = tonumber(ARGV[5]) }
local done, lines = {}, {}
for i = 6, #ARGV, 3 do ulids[#ulids + 1] = ARGV[i] end
local states = load_states(ulids)
for i, ulid in ipairs(ulids) do
  local at, s = i * 3 + 3, states[i]
  local verdict = fence(s, ARGV[at + 1])
  if verdict == OK then
    leave_lease(ulid)
    settled = true
    s.tail = ARGV[at + 2]
    if not close_early(ulid, s, keep) then
      s.state = 'U'
      state_save(ulid, s)
      enter_uncertain(ulid, ARGV[3])
      done[#done + 1], lines[#lines + 1] = ulid, s.tail
    end
  end
  reply[#reply + 1] = verdict
end
if #done > 0 then remember(done, lines) end
end_exchanges(ARGV[1])
flush()
if settled then note_attempts(ARGV[2]) end
reply[2] = reports_text()
return reply
