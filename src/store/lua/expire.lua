#!lua flags=allow-oom
-- expire: scheduled or ready, past expires_at → expired.
-- include: shard clock writes events record packed state finals ready wake waiting callback weight waited finish
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us
-- ARGV[3] most messages in this call   ARGV[4] retention_ms
-- Returns {0, now_us, next expiry_ms or -1, expired}, or {1, now_us}: the clock is in doubt, and nothing
--         was done
--
-- Safe to repeat: an expired message does not wait any more. Leased ones are left to their attempt.
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local ulids = rc('ZRANGE', K.expiry, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[3]))
local records, states = load(ulids)
local expired = 0
for i, ulid in ipairs(ulids) do
  local s = states[i]
  gather('ZREM', K.expiry, ulid)
  if s and s.state == 'w' then
    leave_waiting(ulid, s)
    s.state, expired = 'E', expired + 1
    finish(ulid, s, records[i], tonumber(ARGV[4]))
  end
end
flush()
local head = tonumber(rc('ZRANGE', K.expiry, 0, 0, 'WITHSCORES')[2])
return { 0, now_us, head or -1, expired }
