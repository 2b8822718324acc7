#!lua flags=allow-oom
-- accept: leased → accepted: a receipt will follow; or delivered or dead at once, where it came before.
-- include: shard writes events record packed state finals ready wake waiting callback weight waited finish fence exchanges gate trouble uncertain receipt
--
-- ARGV[1] tokens of exchanges that end with this call
-- ARGV[2] retention_ms of delivered messages   ARGV[3] of dead ones
-- ARGV[4...] per message: ulid, token, last attempt, the downstream's reference or ''
-- Returns {now_ms, reports, verdict per message}; reports and verdicts as ack
--
-- Safe to repeat: the token of an accepted message stays, so a repeat answers already.
local keep = { delivered = tonumber(ARGV[2]), dead = tonumber(ARGV[3]) }
local ulids, reply, accepted = {}, { now_ms, '' }, false
for i = 4, #ARGV, 4 do ulids[#ulids + 1] = ARGV[i] end
local records, states = load(ulids)
for i, ulid in ipairs(ulids) do
  local at, s = i * 4, states[i]
  local token, reference = ARGV[at + 1], ARGV[at + 3]
  local verdict = fence_success(s, token)
  -- Where another node has it by now, or had, that one's answer counts; the receipt may name this one.
  if verdict == LATE and (s.state == 'L' or s.state == 'A') then verdict = STALE end
  if s and (verdict == OK or verdict == LATE or s.previous == token) then know_reference(reference, ulid) end
  if verdict == OK or verdict == LATE then
    if s.state == 'w' then leave_waiting(ulid, s) end
    if s.state == 'U' then leave_uncertain(ulid) end
    leave_lease(ulid)
    s.token, s.tail, accepted = token, ARGV[at + 2], true
    local said, detail = take_early(ulid, reference)
    if said then
      close(ulid, s, records[i], said, detail, keep)
    else
      s.state = 'A'
      state_save(ulid, s)
      tell_change(ulid, 'A')
      gather('ZADD', K.accepted, now_ms, ulid)
    end
  end
  reply[#reply + 1] = verdict
end
end_exchanges(ARGV[1])
flush()
if accepted and gate_remembers() then downstream_succeeds() end
reply[2] = reports_text()
return reply
