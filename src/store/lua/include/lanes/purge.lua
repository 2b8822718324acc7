-- include: lanes/pages waiting
-- A page of the messages in lanes, of which those are cancelled that were created before the call. Returns where to go on, '' at the end.
local function purge_lanes()
  if met >= most then return cursor ~= '' and cursor or 'r' end
  local ulids, next_lanes = page_of_lanes(most - met, cursor)
  local records, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    if states[i] and states[i].state == 'w' and string.sub(ulid, 1, 10) <= cutoff then
      leave_waiting(ulid, states[i])
      cancel(ulid, states[i], records[i])
    end
  end
  return next_lanes or ''
end
