-- include: lanes/index
-- The due times of the oldest message among those that are next, and of the oldest one that no key holds; -1: there is none. No structure
-- goes by the due times of all lanes: of each level the flows with the least tags are asked, and the blockers that open first.
-- free_ms: what is known of messages that stand in no lane.
local LOOKED_AT_MAX = 10
local function oldest_in_lanes(free_ms)
  if not is_laned then return free_ms, free_ms end
  -- include: lanes/turns
  local function earlier(than_ms, key, prefix, from)
    local member = with_prefix(key, prefix, 1)[1]
    local due_ms = member and due_of_place(string.sub(member, from, from + 9))
    if due_ms and (than_ms < 0 or due_ms < than_ms) then return due_ms end
    return than_ms
  end
  for level = 0, structure.levels - 1 do
    for _, flow in ipairs(rc('ZRANGE', TURNS[level], 0, LOOKED_AT_MAX - 1)) do
      free_ms = earlier(free_ms, K.open, string.char(level) .. flow, 10)
    end
  end
  -- The lanes of a flow that a limit by its key holds stay open.
  local function earlier_of_flow(than_ms, flow)
    for level = 0, structure.levels - 1 do than_ms = earlier(than_ms, K.open, string.char(level) .. flow, 10) end
    return than_ms
  end
  local oldest_ms = free_ms
  for _, blocker in ipairs(rc('ZRANGE', K.waits, 0, LOOKED_AT_MAX - 1)) do
    local limit, key = structure.limit_of[string.sub(blocker, 1, 1)], string.sub(blocker, 2)
    if string.byte(blocker) == 0 then oldest_ms = earlier(oldest_ms, K.rest, key, 9)
    elseif limit and limit.is_of_flow then oldest_ms = earlier_of_flow(oldest_ms, key)
    else oldest_ms = earlier(oldest_ms, K.parked, blocker, 19) end
  end
  if oldest_ms < 0 then
    -- Each waits for a message of its key that is on its way.
    local member = rc('ZRANGE', K.rest, 0, 0)[1]
    if member then oldest_ms = due_of_place(string.sub(member, 9, 18)) end
  end
  return oldest_ms, free_ms
end
