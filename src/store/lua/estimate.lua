#!lua flags=allow-oom
-- estimate: how many calls of a queue could start within the horizon by everything but the limits that it shares with others: the
-- first of the steps in which those are asked. Takes nothing.
-- include: clock ready gate record state reserved
--
-- args: keys_in_force most:number concurrency:number limit_lines horizon_us:number before_us:number batch_items:number
-- args: batch_bytes:number batch_wait_ms:number batch_now:flag reads_costs:flag lead_us:number earliest_us:number latest_us:number
-- As claim. limit_lines: of the limits that are kept here. reads_costs: messages may cost more than one unit, or a limit counts the
-- messages of batches.
-- returns: code:number now_us:number wait_us:number left:number (slot_us:number calls:number messages:number least:number)...
-- Codes as claim. Each row is a call: from when on it could start, the units that it takes, and of a batch what its first message costs.
--
-- Safe to repeat: it takes no units and leases nothing; it ends what is over, such as a pause, as each claim does.
local is_batch, in_doubt, granted = batch_items > 0, clock_in_doubt(now_us, earliest_us, latest_us), nil
local SCAN_MAX, BYTES_MAX = 1000, 1048576
-- include: claim_gates
-- keyed include: lanes/could

local length, lengths = ready_length()
local function answer(code, wait_us)
  return REPLY { code = code, now_us = now_us, wait_us = math.ceil(wait_us), left = length }
end
local code, wait_us = shut()
if code then return answer(code, wait_us) end
if length == 0 then return answer(RUST.CLAIM_EMPTY, -1) end
local calls, busy_code, busy_us = free_or_gate(length, rc('ZCARD', K.leased))
if not calls then return answer(busy_code, busy_us) end

local first_us = now_us + lead_us
local horizon_end_us = first_us + horizon_us
local limits = limits_read(limit_lines, horizon_us)
local stale = tonumber(rc('HGET', K.meta, 'stale') or 0)
-- Where nothing but stale entries stand, a claim has to come to remove them.
local want = math.min(is_batch and batch_items or calls, math.max(1, length - stale))

-- What the first messages cost, in the order in which a claim meets them. What was cancelled or has moved still stands in its list
-- until a claim meets it, and holds nobody behind it.
local function costs_in_lists()
  local costs, bytes = {}, 0
  for band = 9, 0, -1 do
    local entries = lengths[band] > 0 and #costs < want and rc('LRANGE', READY[band], 0, want - #costs + stale - 1) or {}
    for _, entry in ipairs(entries) do
      if #costs == want or bytes > BYTES_MAX then break end
      local record = entry_is_current(entry) and rc('HGET', K.records, string.sub(entry, 1, 26))
      if record then costs[#costs + 1], bytes = record_cost(record), bytes + #record end
    end
  end
  return costs
end

local costs, from_us = nil, first_us
-- keyed: if is_laned then want, costs, from_us = lanes_could(want, lengths, first_us, horizon_end_us) end
-- keyed: if is_laned and want == 0 then return answer(RUST.CLAIM_KEYS, from_us) end
costs = costs or reads_costs and costs_in_lists() or {}
if reads_costs and #costs > 0 then want = math.min(want, #costs) end

local reply = answer(RUST.CLAIM_TAKEN, 0)
local refused_us, is_known
-- Adds a call; whether it may start within the horizon.
local function add(call_units, most, least)
  local slot_us
  slot_us, is_known = limits_slot(limits, from_us, call_units, least)
  if not is_known or slot_us > horizon_end_us or (before_us > 0 and slot_us >= before_us) then
    refused_us = slot_us
    return false
  end
  local messages = is_batch and messages_within(limits, slot_us, least, most) or most
  limits_take_late(limits, slot_us, call_units, messages)
  REPLY_ROW { slot_us = math.ceil(slot_us), calls = call_units, messages = messages, least = least }
  from_us = slot_us
  return true
end

if is_batch then
  local sum = 0
  for i = 1, want do sum = sum + (costs[i] or 1) end
  add(1, sum, costs[1] or 1)
else
  for i = 1, want do
    local cost = costs[i] or 1
    if not add(cost, cost, cost) then break end
  end
end
if #reply > 4 then return reply end
return answer(RUST.CLAIM_LIMIT, is_known and refused_us - horizon_end_us or math.max(0, refused_us - horizon_end_us))
