#!lua flags=allow-oom
-- park: leased → uncertain. The attempt may have reached the downstream; waits for a decision.
-- include: settling collapse/steps receipt uncertain history trouble
--
-- args: exchanges signs probe_after_ms:number? delivered_keep_ms:number dead_keep_ms:number
-- args: (ulid token last_attempt)...
-- exchanges: tokens of those that end with this call. signs: what the attempts show of the downstream (see trouble).
-- probe_after_ms: when the downstream is asked; none: never. The other two: where a receipt was faster.
-- returns: now_ms:number reports verdict:number...
-- Reports as trouble, verdicts as fence.
--
-- Safe to repeat: the present token with another state answers already.
local reply = REPLY { now_ms = now_ms, reports = '' }
local keep = { delivered = delivered_keep_ms, dead = dead_keep_ms }
local parked, lines = {}, {}
local settled = settle(reply, load_states(ulids), fence, function(ulid, s, i)
  s.tail = ROW[i].last_attempt
  if close_early(ulid, s, keep) then return end
  s.state = 'U'
  state_save(ulid, s)
  enter_uncertain(ulid, probe_after_ms)
  parked[#parked + 1], lines[#lines + 1] = ulid, s.tail
end)
if #parked > 0 then remember(parked, lines) end
end_exchanges(exchanges)
flush()
if settled > 0 then note_attempts(signs) end
reply[REPLY.reports] = reports_text()
return reply
