#!lua flags=allow-oom
-- resolve: uncertain → delivered, ready or dead: the decision, an operator's or a prober's.
-- include: waiting collapse/steps uncertain
--
-- args: ulid decision keep_ms:number tail probe_token
-- decision: delivered, resend or dead. tail: the last words, or ''. probe_token: of a prober, as probe gave it, or '': an
-- operator decides, and is right in any case.
-- returns: code:number before is_superseded:flag
-- before: the state until now. is_superseded: a newer message of its collapse key takes its place, and it is cancelled. Codes: 0
-- ok, 2 the prober is late, 3 no such message, 5 wrong state.
--
-- Safe to repeat: once decided, the state is not uncertain any more and nothing changes.
local records, states = load({ ulid })
local is_superseded = false
local s = states[1]
if not s then return REPLY { code = 3, before = '', is_superseded = false } end
local before = state_told(ulid, s)
if before ~= 'U' then return REPLY { code = 5, before = before, is_superseded = is_superseded } end
if probe_token ~= '' and not probe_holds(ulid, s, probe_token) then return REPLY { code = 2, before = before, is_superseded = is_superseded } end
local ready_before, added = ready_length(), false
leave_uncertain(ulid)
if tail ~= '' then s.tail = tail end
if decision == 'resend' then
  s.state, s.due = 'w', now_ms
  is_superseded = s.fields ~= '' and collapse.again(ulid, s, records[1], keep_ms)
  if not is_superseded then
    epoch_next(s)
    enter_waiting(ulid, s)
    state_save(ulid, s)
    added = true
  end
else
  s.state = decision == 'delivered' and 'D' or 'X'
  finish(ulid, s, records[1], keep_ms)
end
flush()
wake(nil, nil, ready_before, added)
return REPLY { code = 0, before = before, is_superseded = is_superseded }
