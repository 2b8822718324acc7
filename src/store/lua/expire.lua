#!lua flags=allow-oom
-- expire: scheduled or ready, past expires_at → expired.
-- include: clock waiting collapse/steps
--
-- args: earliest_us:number latest_us:number most:number keep_ms:number
-- earliest_us, latest_us: this call is expected between them.
-- returns: is_in_doubt:flag now_us:number [next_ms:number expired:number]
-- is_in_doubt: the clock is, and nothing was done. next_ms: the next expiry, or -1.
--
-- Safe to repeat: an expired message does not wait any more. Leased ones are left to their attempt.
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
local ulids = rc('ZRANGE', K.expiry, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)
local records, states = load(ulids)
local expired = 0
for i, ulid in ipairs(ulids) do
  local s = states[i]
  gather('ZREM', K.expiry, ulid)
  if s and s.state == 'w' then
    leave_waiting(ulid, s)
    s.state, expired = 'E', expired + 1
    finish(ulid, s, records[i], keep_ms)
  elseif s and s.fields ~= '' and FINAL[s.state] then
    -- A claim met it first (see claim_walk).
    collapse.ends(ulid, s)
  end
end
flush()
local head = tonumber(rc('ZRANGE', K.expiry, 0, 0, 'WITHSCORES')[2])
return REPLY { is_in_doubt = false, now_us = now_us, next_ms = head or -1, expired = expired }
