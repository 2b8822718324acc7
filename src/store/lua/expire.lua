#!lua flags=allow-oom
-- expire: scheduled or ready, past expires_at → expired.
-- include: shard writes record state ready finish
--
-- ARGV[1] most messages in this call   ARGV[2] retention_ms
-- Returns {now_ms, next expiry_ms or -1, expired}
--
-- Safe to repeat: an expired message does not wait any more. Leased ones are left to their attempt.
local ulids = rc('ZRANGE', K.expiry, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[1]))
local records, states = load(ulids)
local expired = 0
for i, ulid in ipairs(ulids) do
  local s = states[i]
  gather('ZREM', K.expiry, ulid)
  if s and s.state == 'w' then
    leave_waiting(ulid, s)
    s.state, expired = 'E', expired + 1
    finish(ulid, s, records[i], tonumber(ARGV[2]))
  end
end
flush()
local head = tonumber(rc('ZRANGE', K.expiry, 0, 0, 'WITHSCORES')[2])
return { now_ms, head or -1, expired }
