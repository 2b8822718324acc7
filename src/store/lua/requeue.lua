#!lua flags=allow-oom
-- requeue: dead, uncertain, expired or cancelled → ready; attempts start over.
-- include: rows waiting weight collapse/steps history
--
-- args: cutoff_ms:number? ulid...
-- cutoff_ms: only what stands there since this moment or longer; none: all.
-- returns: (code:number before)...
-- before: the state until now. Codes: 0 ok, 3 no such message, 5 wrong state, or in this one only since after the cut-off, 8 a
-- newer message of its collapse key waits or is on its way: it stays where it is.
--
-- What went over into another queue stays there: it would be sent twice.
-- Safe to repeat: a requeued message waits, so a repeat answers wrong state and changes nothing.
local LEAVES = { X = K.dead, U = K.uncertain, E = K.expired, C = K.cancelled }
local reply = {}
local _, states = load(ulids)

local function is_young(ulid, s)
  if not cutoff_ms then return false end
  local since_ms = s.state == 'U' and tonumber(rc('ZSCORE', K.uncertain, ulid)) or s.final
  return since_ms > cutoff_ms
end

-- The attempt that a final message ended with is kept among those before it, unless it stands there already.
local tried, lines = {}, {}
local function keep_attempt(ulid, s)
  local start = string.match(s.tail, '"a":{("n":%d+,"s":%d+,)')
  if not start or string.find(rc('HGET', K.history, ulid) or '', start, 1, true) then return end
  tried[#tried + 1], lines[#lines + 1] = ulid, s.tail
end

local ready_before, added = ready_length(), false
for i, ulid in ipairs(ulids) do
  local s = states[i]
  local code, before = 0, s and s.state or ''
  if not s then code = 3
  elseif not LEAVES[before] or (before == 'C' and is_moved(s)) then
    code, before = 5, state_told(ulid, s)
  elseif is_young(ulid, s) then code = 5
  elseif s.fields ~= '' and collapse.has_newer(ulid, s) then code = 8
  else
    weigh_out(ulid, s)
    keep_attempt(ulid, s)
    gather('ZREM', LEAVES[before], ulid)
    if before == 'U' then gather('ZREM', K.probes, ulid) end
    s.state, s.due, s.attempts, s.rescues, s.first, s.paused = 'w', now_ms, 0, 0, 0, 0
    s.throttles, s.holds, s.final, s.flags = 0, 0, 0, told_flags(s.flags)
    s.token, s.previous = NO_TOKEN, NO_TOKEN
    -- Where a claim met its expiry, `expire` has not come by yet (see claim_walk).
    if s.fields ~= '' then rc('ZREM', K.expiry, ulid) end
    if s.expires > 0 and s.expires <= now_ms then s.expires = 0 end
    epoch_next(s)
    enter_waiting(ulid, s)
    state_save(ulid, s)
    if s.fields ~= '' then collapse.begin(ulid, s) end
    added = true
  end
  REPLY_ROW { code = code, before = before }
end
if #tried > 0 then remember(tried, lines) end
flush()
wake(nil, nil, ready_before, added)
return reply
