-- include: record
-- What the limits let start: asked here, or granted by the home slot of a queue with several shards. A part of claim.

-- keyed: local wide_limits
-- The limits as this claim asks them. Most claims ask none, and these functions are made in those that do.
local function limits_of_claim()
  -- include: limits
  local first_us = now_us + lead_us
  local last_us = first_us + horizon_us
  local limits = limits_read(limit_lines, horizon_us)

  local function is_too_late(slot_us) return slot_us > last_us or (before_us > 0 and slot_us >= before_us) end

  -- How long until it is worth asking again, us. Below 0, the window closes before this slot; where nobody knows whether the
  -- slot will do, the caller's periods may be over, and it is to ask with those of now.
  local function wait_for(slot_us, is_known)
    return is_known and slot_us - last_us or math.max(0, slot_us - last_us)
  end

  -- How many of so many calls may start within the horizon, at most; or none, and how long until one may, us.
  local function calls_within(calls)
    local slot_us, is_known = limits_slot(limits, first_us, 1, 1)
    if is_known and not is_too_late(slot_us) then return limits_most(limits, slot_us, last_us, calls) end
    return nil, wait_for(slot_us, is_known)
  end

  -- Whether the next message that is found may start: a call of its own or, in a batch, with those before it. What may
  -- not holds those behind it.
  local function admit(record, found)
    local cost = record_cost(record)
    if is_batch and #found.ulids > 0 then
      if not limits_fit(limits, found.slots[1], cost) then return false end
      limits_take(limits, found.slots[1], 0, cost)
      return true
    end
    local calls = is_batch and 1 or cost
    local slot_us, is_known = limits_slot(limits, first_us, calls, cost)
    if not is_known or is_too_late(slot_us) then
      found.limited_us = wait_for(slot_us, is_known)
      return false
    end
    limits_take(limits, slot_us, calls, cost)
    found.slots[#found.slots + 1], found.units = slot_us, found.units + calls
    return true
  end

  -- keyed include: lanes/wide
  return { calls_within = calls_within, admit = admit, save = function() limits_save(limits, node) end }
end

-- What was granted for each call, where they cost more than one unit: a line `costs UNITS...` of `keys_in_force`.
local granted_costs

-- Whether the next message that is found costs no more than was granted for it; of a batch, with those before it.
local function admit_granted(record, found)
  local cost, first = record_cost(record), #found.ulids == 0
  if is_batch then
    local sum = (found.granted_used or 0) + cost
    if sum <= granted_units then
      found.granted_used = sum
      return true
    end
    if first then found.cost_wanted = cost end
    return false
  end
  if not granted_costs then
    granted_costs = {}
    for units in string.gmatch(string.match(keys_in_force, '\ncosts ([^\n]+)') or '', '%d+') do
      granted_costs[#granted_costs + 1] = tonumber(units)
    end
  end
  if cost <= (granted_costs[#found.ulids + 1] or (first and granted_units or 1)) then return true end
  found.cost_wanted = cost
  return false
end

-- The limits, where they are asked here; and what each message that is found has to pass. None: nothing.
local limits_asked, admit

-- How many of so many calls the limits let start, at most; or none, and how long until one may, us.
local function calls_within_limits(calls)
  if granted then
    admit = admit_granted
  elseif limit_lines ~= '' then
    limits_asked = limits_of_claim()
    admit = limits_asked.admit
    return limits_asked.calls_within(calls)
  end
  return calls
end
