#!lua flags=allow-oom
-- release: leased → ready, at the head, as if it had not been claimed: no byte left.
-- include: settling waiting collapse/back given_back
--
-- args: exchanges limit_lines keep_ms:number (ulid token slot_us:number calls:number messages:number)...
-- exchanges: tokens of those that end with this call. limit_lines and the units of a row: see given_back. keep_ms:
-- of a message that is cancelled, since a newer one of its collapse key takes its place.
-- returns: now_ms:number reports verdict:number...
-- Reports as trouble, verdicts as fence.
--
-- Safe to repeat: the present token with another state answers already.
local reply = REPLY { now_ms = now_ms, reports = '' }
local ready_before = ready_length()
local released = settle(reply, load_states(ulids), fence, function(ulid, s, i)
  attempt_undo(s)
  units_return(i)
  if makes_way(ulid, s, keep_ms) then return end
  back_to_head(ulid, s)
end, true)
units_save()
end_exchanges(exchanges)
flush()
if superseded > 0 then reply[REPLY.reports] = '[{"what":"superseded","messages":' .. superseded .. '}]' end
wake(nil, nil, ready_before, released > 0)
return reply
