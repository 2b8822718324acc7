-- include: events packed
-- What was found becomes leased, all of it under the token of this call. A part of claim.
local function lease(taken)
  local ulids, deadlines = taken.ulids, {}
  -- Formatted once: Redis would turn the number into text for each message.
  local deadline_ms = string.format('%d', now_ms + lease_ms)
  for i = 1, #ulids do deadlines[2 * i - 1], deadlines[2 * i] = deadline_ms, ulids[i] end
  if #taken.slots == 0 then taken.slots[1] = now_us end
  for i, slot_us in ipairs(taken.slots) do taken.slots[i] = math.ceil(slot_us) end
  tell_changes(ulids, 'L')
  write_all('HSET', K.states, taken.states)
  write_all('ZADD', K.leased, deadlines)
  gather('HSET', K.claims, node, memory_of(ulids, taken.slots))
  if is_batch then gather('ZADD', K.exchanges, deadline_ms, token) end
end
