-- include: shard
-- The slots that the home slot of a queue with several shards granted, in order. `keys_in_force` has them in one line:
--   slots SLOT_US...
-- They keep the limits without a key. A message starts in the first of them at which its limits by key let it pass, so that both
-- hold. Those before it stay unused, for another shard.
local granted_slots, granted_at = {}, 1
for slot_us in string.gmatch(string.match(keys_in_force, '\nslots ([^\n]+)') or '', '%d+') do
  granted_slots[#granted_slots + 1] = tonumber(slot_us)
end

-- The first of them from a moment on that no message has; nil: there is none.
local function granted_slot(from_us)
  while granted_slots[granted_at] and granted_slots[granted_at] < from_us do granted_at = granted_at + 1 end
  return granted_slots[granted_at]
end
