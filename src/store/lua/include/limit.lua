-- include: shard
-- The limit over all nodes: one GCRA arrival time per queue (the twin of domain/limit/gcra.rs).
--
-- Slots are moments by Redis TIME within the horizon, which begins when the reply will have reached
-- the node. The arrival time advances only for slots that are taken, so a permit is never granted
-- without a message.

local function limit_slots(period_us, burst, horizon_us, count, start_before_us, lead_us)
  -- Moments near 2^50 are multiples of a quarter: so is the period, rounded up, or the error of each
  -- sum would add up to a faster rate.
  period_us = math.ceil(period_us * 4) / 4
  local slots, tats = {}, {}
  local tat_us = tonumber(rc('HGET', K.meta, 'tat_us') or 0)
  -- An arrival time further ahead than any node reaches is a leftover of a clock that stepped back or
  -- of a slower rate. What takes its place is kept, or it would run ahead of every later call as well.
  -- This call's own reach is no measure: what a node further away holds would be granted again.
  local first_us, last_us = now_us + lead_us, now_us + lead_us + horizon_us
  local furthest_us = now_us + RUST.LEAD_US_FURTHEST + horizon_us + burst * period_us
  if tat_us > furthest_us then
    tat_us = furthest_us
    rc('HSET', K.meta, 'tat_us', string.format('%.2f', tat_us))
  end
  local tolerance_us = (burst - 1) * period_us
  while #slots < count do
    local slot_us = math.max(first_us, tat_us - tolerance_us)
    if slot_us > last_us or (start_before_us > 0 and slot_us >= start_before_us) then
      return slots, tats, slot_us
    end
    tat_us = math.max(tat_us, slot_us) + period_us
    slots[#slots + 1] = slot_us
    tats[#tats + 1] = tat_us
  end
  return slots, tats, math.max(first_us, tat_us - tolerance_us)
end

local function limit_take(tats, taken)
  if taken > 0 then rc('HSET', K.meta, 'tat_us', string.format('%.2f', tats[taken])) end
end

-- Calls of this and the last minute, for rate.observed_1m.
local function calls_count(calls)
  local minute = math.floor(now_ms / 60000)
  local m = rc('HMGET', K.meta, 'minute', 'calls', 'calls_last')
  local at, this, last = tonumber(m[1] or 0), tonumber(m[2] or 0), 0
  if at == minute then
    this, last = this + calls, tonumber(m[3] or 0)
  else
    if at == minute - 1 then last = this end
    this = calls
  end
  rc('HSET', K.meta, 'minute', minute, 'calls', this, 'calls_last', last)
end
