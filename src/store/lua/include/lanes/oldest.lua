-- include: lanes/index
-- The due time of the oldest message among those that are next: no structure goes by the due times of all lanes. Of each level the
-- flows with the least tags are asked, and the blockers that open first.
local LOOKED_AT_MAX = 10
local function oldest_in_lanes(oldest_ms)
  if not is_laned then return oldest_ms end
  -- include: lanes/turns
  local function meet(key, prefix, from)
    local member = with_prefix(key, prefix, 1)[1]
    local due_ms = member and due_of_place(string.sub(member, from, from + 9))
    if due_ms and (oldest_ms < 0 or due_ms < oldest_ms) then oldest_ms = due_ms end
  end
  for level = 0, structure.levels - 1 do
    for _, flow in ipairs(rc('ZRANGE', TURNS[level], 0, LOOKED_AT_MAX - 1)) do meet(K.open, string.char(level) .. flow, 10) end
  end
  for _, blocker in ipairs(rc('ZRANGE', K.waits, 0, LOOKED_AT_MAX - 1)) do
    meet(K.parked, blocker, 19)
    if string.byte(blocker) == 0 then meet(K.rest, string.sub(blocker, 2), 9) end
  end
  return oldest_ms
end
