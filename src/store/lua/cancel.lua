#!lua flags=allow-oom
-- cancel: scheduled, ready or uncertain → cancelled.
-- include: rows waiting collapse/steps uncertain
--
-- args: keep_ms:number ulid...
-- returns: (code:number before)...
-- before: the state until now. Codes: 0 ok, 1 was cancelled already, 3 no such message, 5 wrong state.
--
-- Safe to repeat: a cancelled message answers already.
local reply = {}
local records, states = load(ulids)
for i, ulid in ipairs(ulids) do
  local s = states[i]
  local code, before = 0, s and s.state or ''
  if not s then code = 3
  elseif before == 'C' then code = 1
  elseif before ~= 'w' and before ~= 'U' then code = 5
  else
    if before == 'w' then leave_waiting(ulid, s) else leave_uncertain(ulid) end
    s.state = 'C'
    finish(ulid, s, records[i], keep_ms)
  end
  REPLY_ROW { code = code, before = before }
end
flush()
return reply
