#!lua flags=allow-oom
-- reap: a lease ran out → ready, at the head; or uncertain where the queue parks; or dead as poison.
-- include: clock waiting collapse/steps receipt uncertain
--
-- args: earliest_us:number latest_us:number most:number parks:flag dead_keep_ms:number parked_tail poison_tail
-- args: lease_ms:number probe_after_ms:number? delivered_keep_ms:number
-- earliest_us, latest_us: this call is expected between them. parks: the queue does. The tails: of
-- uncertain messages, and of poison. lease_ms: after a clock alarm, when no deadline is further ahead; else 0.
-- probe_after_ms: when the downstream is asked about an uncertain one; none: never. delivered_keep_ms: where a receipt
-- was faster than the node was lost.
-- returns: is_in_doubt:flag now_us:number [next_ms:number reaped:number parked:number poisoned:number superseded:number]
-- is_in_doubt: the clock is, and nothing was done. next_ms: the next deadline, or -1. superseded: of
-- those that were reaped, cancelled since a newer message of their collapse key takes their place.
--
-- Safe to repeat: a reaped message has no lease any more. Its token goes, so its node comes too late.
-- Poison: lost with its node for the third time, and it was claimed alone.
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
-- Moments that a clock gave before it stepped back are looked at anew, by claims.
-- keyed: if lease_ms > 0 and is_laned then rc('HSETNX', K.meta, 'revalue', 'arrivals:0') rc('HSET', K.meta, 'revalue_rates', '*') end

-- Deadlines that a clock gave before it stepped back: their nodes, if they live, renew them.
for _, key in ipairs(lease_ms > 0 and { K.leased, K.exchanges } or {}) do
  local furthest = '(' .. string.format('%.0f', now_ms + lease_ms + 1000)
  for _, member in ipairs(rc('ZRANGE', key, furthest, '+inf', 'BYSCORE', 'LIMIT', 0, most)) do
    gather('ZADD', key, now_ms + lease_ms, member)
  end
end

local keep = { delivered = delivered_keep_ms, dead = dead_keep_ms }
local ulids = rc('ZRANGE', K.leased, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)
local states = load_states(ulids)
local ready_before, reaped, parked, poisoned = ready_length(), 0, 0, 0
for i = #ulids, 1, -1 do
  local ulid, s = ulids[i], states[i]
  gather('ZREM', K.leased, ulid)
  -- keyed: leased_until_now[#leased_until_now + 1] = ulid
  if s and s.state == 'L' then
    s.previous, s.token = s.token, NO_TOKEN
    local poison = s.rescues >= RESCUES_MAX and s.flags % 2 == 1
    s.rescues = math.min(255, s.rescues + 1)
    if close_early(ulid, s, keep) then reaped = reaped + 1
    elseif parks then
      s.state, s.tail, parked = 'U', parked_tail, parked + 1
      enter_uncertain(ulid, probe_after_ms)
      state_save(ulid, s)
    elseif poison then
      s.state, s.tail, poisoned = 'X', poison_tail, poisoned + 1
      finish(ulid, s, nil, dead_keep_ms)
    elseif s.fields ~= '' and collapse.again(ulid, s, nil, delivered_keep_ms) then
      reaped = reaped + 1
    else
      reaped = reaped + 1
      back_to_head(ulid, s)
    end
  end
end
flush()
wake(nil, nil, ready_before, reaped > 0)
local head = tonumber(rc('ZRANGE', K.leased, 0, 0, 'WITHSCORES')[2])
return REPLY {
  is_in_doubt = false, now_us = now_us, next_ms = head or -1, reaped = reaped, parked = parked, poisoned = poisoned,
  superseded = collapse.superseded,
}
