-- include: shard
-- What wakes the sleepers: an earlier head of due, and something ready where nothing was.
local WAKE_DUE, WAKE_READY = 1, 2

-- The earliest due time before this call wrote, or nil. What waits for another message of its collapse key is never due.
local function due_head()
  local head_ms = tonumber(rc('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2])
  return head_ms and head_ms < RUST.NEVER_MS and head_ms or nil
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
