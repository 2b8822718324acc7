-- include: limits
-- The limits without a key, as a claim that takes from lanes asks them.
wide_limits = {
  slot = function(from_us, calls, cost) return limits_slot(limits, from_us, calls, cost) end,
  fits = function(slot_us, cost) return limits_fit(limits, slot_us, cost) end,
  take = function(slot_us, calls, cost) limits_take(limits, slot_us, calls, cost) end,
  wait = wait_for,
}
