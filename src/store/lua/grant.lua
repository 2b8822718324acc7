#!lua flags=allow-oom
-- grant: permits from a queue's home slot (shard 0): for queues with several shards, and for each
-- further call of an exchange.
-- include: shard clock writes events gate limit
--
-- ARGV[1] most permits   ARGV[2] period_us or 0: no limit, only pause and gate   ARGV[3] burst   ARGV[4] horizon_us
-- ARGV[5] slots only before this moment_us, or 0   ARGV[6] lead_us, as claim
-- ARGV[7] ARGV[8] moments between which this call is expected, us: outside of them no pause ends
-- Returns {code, now_us, wait_us, slot_us, ...}; codes as claim: 0 granted, 2 paused, 3 gate shut, 5 limit
--
-- Not repeated: a lost reply loses its permits, which can only lower the rate.
local m = rc('HMGET', K.meta, 'pause_since', 'pause_until', 'gate_until', 'gate_since')
if m[1] and (tonumber(m[2]) == 0 or tonumber(m[2]) > now_ms) then
  return { 2, now_us, tonumber(m[2]) == 0 and -1 or (tonumber(m[2]) - now_ms) * 1000 }
end
if m[1] and clock_in_doubt(ARGV[7], ARGV[8]) then return { 2, now_us, 1000000 } end
if m[1] then pause_end(m[1], tonumber(m[2])) end
local gate_ms = gate_shut_until(m[3], m[4])
if gate_ms > 0 then return { 3, now_us, (gate_ms - now_ms) * 1000 } end
local period_us, horizon_us, lead_us = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[6])
if period_us == 0 then return { 0, now_us, 0, now_us } end
local slots, tats, next_us = limit_slots(period_us, tonumber(ARGV[3]), horizon_us,
  tonumber(ARGV[1]), tonumber(ARGV[5]), lead_us)
if #slots == 0 then return { 5, now_us, math.ceil(next_us - now_us - lead_us - horizon_us) } end
limit_take(tats, #slots)
local reply = { 0, now_us, 0 }
for _, slot_us in ipairs(slots) do reply[#reply + 1] = math.ceil(slot_us) end
return reply
