#!lua flags=allow-oom
-- retry: leased → scheduled, unless a receipt was faster. The only verb that writes a due time after the first.
-- include: shard writes events record packed state finals ready wake waiting callback weight waited finish fence exchanges history trouble receipt
--
-- ARGV[1] tokens of exchanges that end with this call
-- ARGV[2] what the attempts show of the downstream, see trouble
-- ARGV[3] retention_ms of delivered messages   ARGV[4] of dead ones, where a receipt was faster
-- ARGV[5...] per message: ulid, token, delay_ms, 1: the attempt is given back and counted as a throttle,
--            last attempt or ''
-- Returns {now_ms, wake, reports, verdict per message}; reports and verdicts as ack
--
-- Safe to repeat: the present token with another state answers already.
local ulids, reply = {}, { now_ms, 0, '' }
local keep = { delivered = tonumber(ARGV[3]), dead = tonumber(ARGV[4]) }
for i = 5, #ARGV, 5 do ulids[#ulids + 1] = ARGV[i] end
local states = load_states(ulids)
local head, ready_before = due_head(), ready_length()
local due_first, ready_added
local done, lines, settled = {}, {}, false
for i, ulid in ipairs(ulids) do
  local at, s = i * 5, states[i]
  local verdict = fence(s, ARGV[at + 1])
  if verdict == OK then
    leave_lease(ulid)
    settled = true
    if ARGV[at + 4] ~= '' then s.tail = ARGV[at + 4] end
    if not close_early(ulid, s, keep) then
      s.state, s.due = 'w', now_ms + tonumber(ARGV[at + 2])
      if ARGV[at + 3] == '1' then
        s.throttles = s.throttles + 1
        attempt_undo(s, true)
      else
        done[#done + 1], lines[#lines + 1] = ulid, s.tail
      end
      epoch_next(s)
      if enter_waiting(ulid, s) == WAKE_READY then ready_added = true
      elseif not due_first or s.due < due_first then due_first = s.due end
      state_save(ulid, s)
    end
  end
  reply[#reply + 1] = verdict
end
if #done > 0 then remember(done, lines) end
end_exchanges(ARGV[1])
flush()
if settled then note_attempts(ARGV[2]) end
reply[3] = reports_text()
reply[2] = wake(head, due_first, ready_before, ready_added)
return reply
