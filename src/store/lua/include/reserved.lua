-- include: limits
-- What limits let start of several calls at once, as `estimate` and `reserve` ask them.

-- How many messages a call with this slot may carry, from the cost of the first of them on: a quota that counts messages cuts a batch.
local function messages_within(limits, slot_us, least, most)
  for _, limit in ipairs(limits) do
    local at = not limit.is_rate and limit.by_message and period_of(limit, slot_us) or 3
    if at < 3 then most = math.min(most, limit.units - limit.used[at]) end
  end
  return math.max(least, most)
end

-- Until when a call may still start that has this slot: a rate takes only so much lateness, and a quota has counted it in its period.
local function slot_until(limits, slot_us)
  local until_us = math.huge
  for _, limit in ipairs(limits) do
    if limit.is_rate then until_us = math.min(until_us, slot_us + RUST.RESERVED_LATE_US)
    else until_us = math.min(until_us, limit.from[math.min(3, period_of(limit, slot_us) + 1)] * 1000 - 1) end
  end
  return until_us == math.huge and slot_us + RUST.RESERVED_LATE_US or until_us
end

-- Takes the units of a call whose slot another limit may have moved: so much later than a rate allows it, and nothing of the rate
-- is lost.
local function limits_take_late(limits, slot_us, calls, messages)
  local late = {}
  for i, limit in ipairs(limits) do
    late[i] = limit.is_rate and math.max(0, math.min(RUST.RESERVED_LATE_US, slot_us - limit.arrival_us)) or 0
  end
  limits_take(limits, slot_us, calls, messages)
  for i, limit in ipairs(limits) do
    if late[i] > 0 then
      limit.arrival_us = limit.arrival_us - late[i]
      if limit.debt then limit.debt = string.format('%.2f %.2f %.2f', limit.arrival_us, slot_us - late[i], limit.period_us) end
    end
  end
end
