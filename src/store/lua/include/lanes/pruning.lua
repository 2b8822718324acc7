-- include: lanes/index
-- Messages that were there before the queue counted them are counted, page by page; whether there are more.
local RECORDS_AT_ONCE, BYTES_AT_ONCE = 100, 1048576
local function take_backlog_stock()
  local cursor = rc('GET', K.backlog_at)
  if not cursor then return false end
  local largest = math.max(1, tonumber(rc('HGET', K.meta, 'largest') or 0))
  local count = math.max(1, math.min(RECORDS_AT_ONCE, math.floor(BYTES_AT_ONCE / largest)))
  local page = rc('HSCAN', K.records, cursor, 'COUNT', count)
  local ulids, records = {}, {}
  for i = 1, #page[2], 2 do ulids[#ulids + 1], records[#records + 1] = page[2][i], page[2][i + 1] end
  local states, raws = load_states(ulids)
  for i, ulid in ipairs(ulids) do
    local s = states[i] or (not raws[i] and record_is_readable(records[i]) and state_of_record(records[i]))
    if s then touched[ulid] = { s.state, records[i] } end
  end
  if page[1] == '0' then rc('UNLINK', K.backlog_at) else rc('SET', K.backlog_at, page[1]) end
  return page[1] ~= '0'
end

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
  return take_backlog_stock() or has_more
end
