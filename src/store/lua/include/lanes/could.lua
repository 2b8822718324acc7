-- include: lanes/gathering
-- How many messages of a queue with keys could start, as far as that can be told without moving a lane: the heads of the open lanes
-- with what their limits have room for behind them, the lanes whose time comes within the horizon, and what has not come into lanes
-- yet. Returns how many, what the first costs where its cost decides, and from when on; 0 and how long until it is worth asking
-- again, us, where everything waits: -1, somebody will tell.
local function lanes_could(most, lengths, first_us, horizon_end_us)
  local could_now, _, first_cost = count_in_lanes(most, reads_costs)
  for band = 0, 9 do could_now = could_now + lengths[band] end
  if in_force[3] then could_now = could_now + 1 end
  local count = could_now
  local waits, next_us = rc('ZRANGE', K.waits, 0, most - 1, 'WITHSCORES'), nil
  for i = 2, #waits, 2 do
    local opens_us = waits[i] == 'inf' and math.huge or tonumber(waits[i])
    next_us = next_us or opens_us
    if opens_us <= horizon_end_us then count = count + 1 end
  end
  local opens_us = could_now > 0 and first_us or math.max(first_us, next_us or 0)
  if count == 0 then return 0, nil, next_us and next_us < math.huge and math.max(0, next_us - horizon_end_us) or -1 end
  -- What the next ones cost is known only once the first has gone.
  if first_cost and first_cost > 1 and not is_batch then return 1, { first_cost }, opens_us end
  return math.min(most, count), nil, opens_us
end
