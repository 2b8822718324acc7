-- include: lanes/index
-- What is idle goes also where nothing is claimed any more. Whether there is more.
local function prune_lanes(most)
  -- include: lanes/enter lanes/prune
  -- Lanes that may go on and have nothing behind them, and flows that were held and have no lane any more.
  for _, blocker in ipairs(rc('ZRANGE', K.waits, '-inf', score_of(now_us), 'BYSCORE', 'LIMIT', 0, most)) do
    local id, name = string.sub(blocker, 1, 1), string.sub(blocker, 2)
    local limit = structure.limit_of[id]
    if id == ORDER and #with_prefix(K.rest, name, 1) == 0 then
      local h = lane_read(name)
      if h and h.state == 'f' then lane_drop(name) end
      if not h or h.state == 'f' then waits_remove(blocker) end
    elseif limit and limit.is_of_flow then
      local is_open = false
      for level = 0, structure.levels - 1 do is_open = is_open or has_open_lane(name, level) end
      if not is_open then waits_remove(blocker) end
    end
  end
  local has_more = prune_limits(most)
  prune_tags(most)
  flows_save()
  return has_more
end
