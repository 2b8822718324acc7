#!lua flags=allow-oom
-- release: leased → ready, at the head, as if it had not been claimed: no byte left.
-- include: settling waiting
--
-- args: exchanges (ulid token)...
-- exchanges: tokens of those that end with this call.
-- returns: now_ms:number reports verdict:number...
-- reports: always ''. Verdicts as fence.
--
-- Safe to repeat: the present token with another state answers already.
local reply = REPLY { now_ms = now_ms, reports = '' }
local ready_before = ready_length()
local released = settle(reply, load_states(ulids), fence, function(ulid, s)
  attempt_undo(s)
  back_to_head(ulid, s)
end, true)
end_exchanges(exchanges)
flush()
wake(nil, nil, ready_before, released > 0)
return reply
