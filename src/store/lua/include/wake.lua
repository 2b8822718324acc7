-- include: shard
-- What wakes the sleepers: an earlier head of due, and something ready where nothing was.
local WAKE_DUE, WAKE_READY = 1, 2

-- The earliest due time before this call wrote, or nil.
local function due_head()
  return tonumber(rc('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2])
end

-- Wakes other nodes when this call made an earlier head or filled an empty ready list.
local function wake(head_before, due_first, ready_before, ready_added)
  local flags = 0
  if due_first and (not head_before or due_first < head_before) then flags = WAKE_DUE end
  if ready_added and ready_before == 0 then flags = flags + WAKE_READY end
  if flags > 0 then publish('wake', ' ' .. flags) end
  if ready_added and ready_before > 0 then flags = flags + WAKE_READY end
  return flags
end
