#!lua flags=allow-oom
-- grant: permits from a queue's home slot (shard 0): for queues with several shards, and for each
-- further call of an exchange.
-- include: clock gate limits
--
-- args: node most:number calls:number messages:number limit_lines horizon_us:number before_us:number from_us:number lead_us:number
-- args: earliest_us:number latest_us:number
-- node: 12 bytes. most: permits. calls, messages: units that the first of them takes, see limits; each other one takes
-- one. limit_lines: '' is no limit, only pause and gate. before_us: slots only before this moment, or 0. from_us: and from this one
-- on. lead_us as claim.
-- earliest_us, latest_us: this call is expected between them; outside of them no pause ends.
-- returns: code:number now_us:number wait_us:number slot_us:number...
-- Codes as claim: 0 granted, 2 paused, 3 gate shut, 5 limit.
--
-- Not repeated: a lost reply loses its permits, which can only lower the rate.
local m = rc('HMGET', K.meta, 'pause_since', 'pause_until', 'gate_until', 'gate_since')
if m[1] and (tonumber(m[2]) == 0 or tonumber(m[2]) > now_ms) then
  local wait_us = tonumber(m[2]) == 0 and -1 or (tonumber(m[2]) - now_ms) * 1000
  return REPLY { code = RUST.CLAIM_PAUSED, now_us = now_us, wait_us = wait_us }
end
if m[1] and clock_in_doubt(now_us, earliest_us, latest_us) then
  return REPLY { code = RUST.CLAIM_PAUSED, now_us = now_us, wait_us = RUST.DOUBT_WAIT_US }
end
if m[1] then pause_end(m[1], tonumber(m[2])) end
local gate_ms = gate_shut_until(m[3], m[4])
if gate_ms > 0 then
  return REPLY { code = RUST.CLAIM_SHUT, now_us = now_us, wait_us = (gate_ms - now_ms) * 1000 }
end
local reply = REPLY { code = RUST.CLAIM_TAKEN, now_us = now_us, wait_us = 0 }
if limit_lines == '' then
  REPLY_ROW { slot_us = now_us }
  return reply
end
local limits = limits_read(limit_lines, horizon_us)
-- keyed include: lanes/returned
local first_us, last_us = math.max(now_us + lead_us, from_us), now_us + lead_us + horizon_us
local granted, refused_us = 0, nil
while granted < most and not refused_us do
  local slot_us, is_known = limits_slot(limits, first_us, calls, messages)
  local taken_from = limits
  -- keyed: taken_from, slot_us, is_known = returned_or(limits, first_us, slot_us, is_known, math.max(calls, messages))
  if not is_known or slot_us > last_us or (before_us > 0 and slot_us >= before_us) then
    refused_us = slot_us
  else
    limits_take(taken_from, slot_us, calls, messages)
    REPLY_ROW { slot_us = math.ceil(slot_us) }
    granted, calls, messages = granted + 1, 1, 1
  end
end
limits_save(limits, node)
-- keyed: returned_save()
if granted == 0 then
  return REPLY { code = RUST.CLAIM_LIMIT, now_us = now_us, wait_us = math.ceil(refused_us - last_us) }
end
return reply
