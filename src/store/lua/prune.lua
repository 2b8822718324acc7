#!lua flags=allow-oom
-- prune: final messages are deleted: whose retention is over, and, the oldest first, what is beyond the
-- limits of their number and bytes.
-- include: clock finish
-- keyed include: lanes/pruning
--
-- args: earliest_us:number latest_us:number most:number
-- args: delivered_max:number dead_max:number delivered_bytes_max:number dead_bytes_max:number living_node...
-- earliest_us, latest_us: this call is expected between them. delivered_max, dead_max and the
-- bytes: what this shard keeps at most, 0: no limit; delivered counts expired and cancelled ones too. living_node: the
-- last claims of others go too.
-- returns: is_in_doubt:flag now_us:number [has_more:flag] (state reason:number pruned:number)...
-- is_in_doubt: the clock is, and nothing was done. reason: 1 age, 2 messages, 3 bytes.
--
-- Safe to repeat: what is gone is gone, and what is weighed is weighed once (see weight).
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
local AGE, MESSAGES, BYTES = RUST.PRUNED_AGE, RUST.PRUNED_MESSAGES, RUST.PRUNED_BYTES
local WEIGHED_AT_ONCE = 100
local KINDS = {
  { states = { 'D', 'E', 'C' }, messages = delivered_max, bytes = delivered_bytes_max, weight = 'weight_delivered' },
  { states = { 'X' }, messages = dead_max, bytes = dead_bytes_max, weight = 'weight_dead' },
}
local left = most
local pruned = {}

-- What it weighed in the sum.
local function prune(ulid, state, reason, s)
  local bytes = weigh_out(ulid, s)
  forget(ulid)
  gather('ZREM', FINAL_KEY[state], ulid)
  local what = state .. reason
  pruned[what] = (pruned[what] or 0) + 1
  left = left - 1
  return bytes
end

local function states_if_weighed(ulids)
  return weighing() > 0 and load_states(ulids) or {}
end

local function prune_by_age()
  for _, state in ipairs({ 'D', 'X', 'E', 'C' }) do
    if left <= 0 then return end
    local ulids = rc('ZRANGE', FINAL_KEY[state], '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, left)
    local states = states_if_weighed(ulids)
    for i, ulid in ipairs(ulids) do prune(ulid, state, AGE, states[i]) end
  end
end

-- The oldest over several states: whose purge time comes first.
local function oldest(states)
  local found = {}
  for _, state in ipairs(states) do
    local page = rc('ZRANGE', FINAL_KEY[state], 0, left - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      found[#found + 1] = { ulid = page[i], purge_ms = tonumber(page[i + 1]), state = state }
    end
  end
  table.sort(found, function(a, b)
    if a.purge_ms ~= b.purge_ms then return a.purge_ms < b.purge_ms end
    return a.ulid < b.ulid
  end)
  return found
end

-- Whether it is on its way into another queue, which has it from here.
local function is_needed(ulid, s)
  local record = s and s.state == 'C' and is_moved(s) and rc('HGET', K.records, ulid)
  return record and is_moving(s, record)
end

local function prune_beyond(kind)
  local messages, bytes = 0, 0
  if kind.messages > 0 then
    for _, state in ipairs(kind.states) do messages = messages + rc('ZCARD', FINAL_KEY[state]) end
    messages = messages - kind.messages
  end
  if kind.bytes > 0 then bytes = tonumber(rc('HGET', K.meta, kind.weight) or 0) - kind.bytes end
  if left <= 0 or (messages <= 0 and bytes <= 0) then return end
  local found, ulids = oldest(kind.states), {}
  for i, message in ipairs(found) do ulids[i] = message.ulid end
  local states = #ulids > 0 and load_states(ulids) or {}
  for i, message in ipairs(found) do
    local s = states[i]
    if left <= 0 or (messages <= 0 and bytes <= 0) then return end
    if not is_needed(message.ulid, s) then
      bytes = bytes - prune(message.ulid, message.state, messages > 0 and MESSAGES or BYTES, s)
      messages = messages - 1
    end
  end
end

-- Those that were final before the weighing began, page by page; whether there are more.
local function take_stock()
  local state, cursor = string.match(rc('HGET', K.meta, 'weigh_at') or '', '^(%u):(%d+)$')
  if not state then return false end
  local page = rc('ZSCAN', FINAL_KEY[state], cursor, 'COUNT', WEIGHED_AT_ONCE)
  local ulids = {}
  for i = 1, #page[2], 2 do ulids[#ulids + 1] = page[2][i] end
  local states = #ulids > 0 and load_states(ulids) or {}
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    if s and s.state == state and not is_weighed(s) then
      weigh_in(ulid, s)
      state_save(ulid, s)
    end
  end
  if page[1] == '0' then state = ({ D = 'X', X = 'E', E = 'C' })[state] end
  if not state then
    rc('HDEL', K.meta, 'weigh_at')
  else
    rc('HSET', K.meta, 'weigh_at', state .. ':' .. page[1])
  end
  return state ~= nil
end

local is_limited = KINDS[1].bytes > 0 or KINDS[2].bytes > 0
if is_limited and weighing() == 0 then weigh_begin() end
if not is_limited and weighing() > 0 then weigh_end() end
prune_by_age()
flush()
local has_more = is_limited and take_stock()
flush()
for _, kind in ipairs(KINDS) do
  prune_beyond(kind)
  flush()
end

rc('ZREMRANGEBYSCORE', K.waited, '-inf', now_ms)
-- keyed: has_more = prune_lanes(most) or has_more
local living = {}
for i = 1, ROWS do living[ROW[i].living_node] = true end
for _, node in ipairs(rc('HKEYS', K.claims)) do
  if not living[string.sub(node, 1, 12)] then gather('HDEL', K.claims, node) end
end
flush()
local reply = REPLY { is_in_doubt = false, now_us = now_us, has_more = has_more or left <= 0 }
for what, count in pairs(pruned) do
  REPLY_ROW { state = string.sub(what, 1, 1), reason = tonumber(string.sub(what, 2)), pruned = count }
end
return reply
