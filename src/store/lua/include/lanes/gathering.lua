-- include: lanes/ready
-- How much longer a batch gathers at a queue with keys, us; 0: it fires. What counts is what could start now: the heads of the open
-- lanes, and behind each of them as many as the limits by its keys have room for.
local batch_gathers_of_lists = batch_gathers
-- Up to so many of them; when the first of them became due, and what it costs, where that is asked for.
local function count_in_lanes(most_wanted, asks_cost)
  -- include: lanes/limits lanes/turns
  local members = rc('ZRANGE', K.open, 0, most_wanted - 1)
  local count, lanes_open = #members, {}
  if count == 0 or (count >= most_wanted and not asks_cost) then return count end
  for i, member in ipairs(members) do lanes_open[i] = string.sub(member, 20) end

  -- How many messages of cost 1 the limits by these keys let start now, at most.
  local function room(flow, keys, most)
    local function ask(limit, blocker)
      local state, terms = limit_state(limit, blocker), terms_of(limit, blocker)
      if limit.kind == 'rate' then
        most = math.min(most, math.floor((front_us + terms.tolerance_us - math.max(state, front_us)) / terms.period_us) + 1)
      else
        most = math.min(most, (terms.units or terms.calls) - state)
      end
    end
    for i, blocker in ipairs(blockers_of(structure, keys)) do ask(structure.of_lanes[i], blocker) end
    for _, limit in ipairs(structure.of_flows) do ask(limit, limit.id .. flow) end
    return most
  end

  for i, raw in ipairs(rc('HMGET', K.heads, unpack(lanes_open))) do
    local h = raw and head_unpack(raw)
    if h and h.more and not h.is_ordered and count < most_wanted then
      local most = room(h.flow, keys_of(record_of(h.ulid)), most_wanted - count + 1)
      local behind = most > 1 and with_prefix(K.rest, lanes_open[i], most - 1) or {}
      count = count + #behind
    end
  end
  local first = choose()
  if not first then return count end
  local record = asks_cost and record_of(lane_read(first.lane).ulid)
  return count, due_of_place(first.place), record and record_is_readable(record) and record_cost(record) or 1
end

local function batch_gathers(length)
  if not is_laned then return batch_gathers_of_lists(length) end
  if batch_now then return 0 end
  local count, due_ms = count_in_lanes(batch_items)
  -- Due later than now and yet ready: the clock has stepped back, and the wait has no measure.
  if count >= batch_items or not due_ms or due_ms > now_ms then return 0 end
  return math.max(0, (due_ms + batch_wait_ms - now_ms) * 1000)
end
