-- include: lanes/ready
-- How much longer a batch gathers at a queue with keys, us; 0: it fires. An open lane counts as one message, and where no key holds
-- messages back, what stands behind the heads counts too.
local batch_gathers_of_lists = batch_gathers
local function batch_gathers(length)
  if not is_laned then return batch_gathers_of_lists(length) end
  if batch_now then return 0 end
  local count = rc('ZCARD', K.open)
  if #structure.of_lanes == 0 and not structure.order_by then count = count + rc('ZCARD', K.rest) end
  if count == 0 or count >= batch_items then return 0 end
  -- include: lanes/turns
  local first = choose()
  if not first then return 0 end
  local due_ms = due_of_place(first.place)
  -- Due later than now and yet ready: the clock has stepped back, and the wait has no measure.
  if due_ms > now_ms then return 0 end
  return math.max(0, (due_ms + batch_wait_ms - now_ms) * 1000)
end
