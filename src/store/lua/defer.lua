#!lua flags=allow-oom
-- defer: leased → ready, at the head, counted: a throttle (shuts the gate) or a hold by the window.
-- include: settling waiting collapse/back shut given_back
--
-- args: exchanges signs kind shut_ms:number? reason limit_lines keep_ms:number
-- args: (ulid token last_attempt slot_us:number calls:number messages:number)...
-- exchanges: tokens of those that end with this call. signs: what the attempts show of the downstream (see trouble).
-- kind: throttle, alarm (credentials refused) or hold. shut_ms: how long the gate shuts; none: by its streak. reason:
-- why, for people. limit_lines and the units of a row: see given_back. keep_ms: as in release. last_attempt: '' where it stays as it was. No rows: another shard's downstream, shut here too.
-- returns: now_ms:number reports verdict:number...
-- Reports as trouble, verdicts as fence.
--
-- Safe to repeat: the present token with another state answers already, and shuts nothing again.
local reply = REPLY { now_ms = now_ms, reports = '' }
local ready_before = ready_length()
local deferred = settle(reply, load_states(ulids), fence, function(ulid, s, i)
  if kind == 'throttle' then s.throttles = s.throttles + 1 end
  if kind == 'hold' then s.holds = s.holds + 1 end
  attempt_undo(s, kind ~= 'hold')
  if ROW[i].last_attempt ~= '' then s.tail = ROW[i].last_attempt end
  units_return(i)
  if makes_way(ulid, s, keep_ms) then return end
  back_to_head(ulid, s)
end, true)
units_save()
end_exchanges(exchanges)
flush()
if deferred > 0 then note_attempts(signs) end
if (deferred > 0 or #ulids == 0) and kind ~= 'hold' then gate_shut(kind, shut_ms, reason, deferred > 0) end
if superseded > 0 then reports[#reports + 1] = { what = 'superseded', messages = superseded } end
reply[REPLY.reports] = reports_text()
wake(nil, nil, ready_before, deferred > 0)
return reply
