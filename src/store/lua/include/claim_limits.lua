-- include: limits record
-- What the limits let start: asked here, or granted by the home slot of a queue with several shards. A part of claim.
local FIRST_US = now_us + lead_us
local LAST_US = FIRST_US + horizon_us
-- The limits as they stand, where they are asked here.
local asked

local function is_too_late(slot_us) return slot_us > LAST_US or (before_us > 0 and slot_us >= before_us) end

-- How many of so many calls may start within the horizon, at most; or none, and how long until one may, us.
local function calls_within_limits(calls)
  if limit_lines == '' or granted then return calls end
  local limits = limits_read(limit_lines, horizon_us)
  local slot_us, is_known = limits_slot(limits, FIRST_US, 1, 1)
  if is_known and not is_too_late(slot_us) then
    asked = limits
    return limits_most(limits, slot_us, LAST_US, calls)
  end
  limits_save(limits, node)
  return nil, slot_us - LAST_US
end

-- Whether the next message that is found may start: a call of its own or, in a batch, with those before it. What may not
-- holds those behind it.
local function admit(record, found)
  local cost, is_further = record_cost(record), #found.ulids > 0
  if granted then
    if is_batch or cost <= (is_further and 1 or granted_units) then return true end
    found.cost_wanted = cost
    return false
  end
  if is_batch and is_further then
    if not limits_fit(asked, found.slots[1], cost) then return false end
    limits_take(asked, found.slots[1], 0, cost)
    return true
  end
  local calls = is_batch and 1 or cost
  local slot_us, is_known = limits_slot(asked, FIRST_US, calls, cost)
  if not is_known or is_too_late(slot_us) then
    found.limited_us = slot_us - LAST_US
    return false
  end
  limits_take(asked, slot_us, calls, cost)
  found.slots[#found.slots + 1], found.units = slot_us, found.units + calls
  return true
end
