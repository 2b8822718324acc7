#!lua flags=allow-oom
-- receive: accepted → delivered or dead: the downstream's receipt. One that comes before our own
-- bookkeeping is kept, and closes the message in the step that accepts it.
-- include: late collapse/steps receipt
--
-- args: named_ulid reference said detail delivered_keep_ms:number dead_keep_ms:number kept_ms:number
-- named_ulid: '' where it comes by its reference; reference: '' where it does not. said: D delivered, X dead. detail: as a
-- JSON string, or ''. kept_ms: how long a receipt is for a message that is not accepted yet; 0: an unknown reference is
-- only told.
-- returns: code:number ulid before
-- before: the state until now. Codes: 0 ok, 1 already, 2 kept, 3 no such message or reference, 5 wrong state, or a kept
-- receipt says otherwise, 7 too many receipts are kept.
--
-- Safe to repeat: a message that is closed answers already, a kept receipt is kept once. A repeat writes
-- too, so that a durability wait after it covers the first.
local function answer(code, ulid, before)
  return REPLY { code = code, ulid = ulid, before = before }
end

local ulid = named_ulid
local keep = { delivered = delivered_keep_ms, dead = dead_keep_ms }
if ulid == '' then
  ulid = rc('HGET', K.refs, reference) or ''
  if ulid == '' then
    if kept_ms == 0 then return answer(3, '', '') end
    return answer(keep_early('#' .. reference, said, detail, kept_ms), '', '')
  end
end
local records, states = load({ ulid })
local s = states[1]
if not s then return answer(3, ulid, '') end
local before = s.state
rc('HSET', K.meta, 'received', now_ms)
if before == 'L' then return answer(keep_early('=' .. ulid, said, detail, kept_ms), ulid, before) end
if FINAL[before] then return answer(before == said and 1 or 5, ulid, before) end
-- A late success is still a success; a late refusal of a message that waits to be sent again is not one.
if before == 'w' and (said == 'X' or s.attempts == 0) then return answer(5, ulid, state_told(ulid, s)) end
leave_place(ulid, s)
close(ulid, s, records[1], said, detail, keep)
flush()
return answer(0, ulid, before)
