#!lua flags=allow-oom
-- bury: leased → dead, with the reason kept.
-- include: settling collapse/steps receipt shut
--
-- args: exchanges signs keep_ms:number is_suspect:flag reason delivered_keep_ms:number
-- args: (ulid token last_attempt)...
-- exchanges: tokens of those that end with this call. signs: what the attempts show of the downstream (see trouble).
-- is_suspect: the answer makes the downstream itself suspect; several such in a row shut the gate. reason: why, for
-- people. delivered_keep_ms: where a receipt was faster.
-- returns: now_ms:number reports verdict:number...
-- Reports as trouble, verdicts as fence.
--
-- Safe to repeat: the token of a dead message stays, so a repeat answers already.
-- Refusals in a row that shut the gate.
local REFUSALS_MAX = 5
local reply, buried = REPLY { now_ms = now_ms, reports = '' }, 0
local keep = { delivered = delivered_keep_ms, dead = keep_ms }
local settled = settle(reply, load_states(ulids), fence, function(ulid, s, i)
  s.tail = ROW[i].last_attempt
  if close_early(ulid, s, keep) then return end
  s.state, buried = 'X', buried + 1
  finish(ulid, s, nil, keep_ms)
end)
end_exchanges(exchanges)
flush()
if settled > 0 then note_attempts(signs) end
if is_suspect and buried > 0 then
  if rc('HINCRBY', K.meta, 'refusals', buried) >= REFUSALS_MAX then gate_shut('alarm', nil, reason, true) end
end
reply[REPLY.reports] = reports_text()
return reply
