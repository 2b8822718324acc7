-- What a claim has taken for a message ends with its lease: calls in flight, and, where it did not start, units of quotas.
local function leave_lease(ulid, has_started)
  rc('ZREM', K.leased, ulid)
  rc('HDEL', K.states, ulid)
  local held = rc('HGET', K.held, ulid)
  if not held then return nil end
  rc('HDEL', K.held, ulid)
  for at = 9, #held, 15 do
    local blocker, units, end_minute = struct.unpack('>c9HI4', held, at)
    local limit = LIMIT_OF[string.sub(blocker, 1, 1)]
    local is_back = limit and not has_started and limit.kind == 'q' and limit.end_minute == end_minute
    if limit and limit.kind == 'c' then
      set_state(limit, blocker, state_of(limit, blocker) - 1)
      is_back = limit.per ~= ''
    elseif is_back then
      set_state(limit, blocker, math.max(0, state_of(limit, blocker) - units))
    end
    -- Where it has parked lanes and has lent none, the next claim looks at it.
    if is_back then rc('ZADD', K.waits, 'XX', text(now_us), blocker) end
  end
  local lane = string.sub(held, 1, 8)
  return lane ~= NONE and lane or nil
end
