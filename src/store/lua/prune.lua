#!lua flags=allow-oom
-- prune: final messages are deleted: whose retention is over, and, the oldest first, what is beyond the
-- limits of their number and bytes.
-- include: shard clock writes events record packed state finals callback weight waited finish
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us
-- ARGV[3] most messages in this call
-- ARGV[4] ARGV[5] this shard's most messages: delivered, expired and cancelled ones together; dead ones; 0:
--         no limit   ARGV[6] ARGV[7] the same in bytes
-- ARGV[8...] nodes that live: the last claims of others go too
-- Returns {0, now_us, 1 if there is more to do else 0, then per state and reason: state, reason (1: age,
--         2: messages, 3: bytes), pruned}, or {1, now_us}: the clock is in doubt, and nothing was done
--
-- Safe to repeat: what is gone is gone, and what is weighed is weighed once (see weight).
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local AGE, MESSAGES, BYTES = 1, 2, 3
local WEIGHED_AT_ONCE = 100
local KINDS = {
  { states = { 'D', 'E', 'C' }, messages = tonumber(ARGV[4]), bytes = tonumber(ARGV[6]), weight = 'weight_delivered' },
  { states = { 'X' }, messages = tonumber(ARGV[5]), bytes = tonumber(ARGV[7]), weight = 'weight_dead' },
}
local left = tonumber(ARGV[3])
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
local living = {}
for i = 8, #ARGV do living[ARGV[i]] = true end
for _, node in ipairs(rc('HKEYS', K.claims)) do
  if not living[string.sub(node, 1, 12)] then gather('HDEL', K.claims, node) end
end
flush()
local reply = { 0, now_us, (has_more or left <= 0) and 1 or 0 }
for what, count in pairs(pruned) do
  reply[#reply + 1] = string.sub(what, 1, 1)
  reply[#reply + 1] = tonumber(string.sub(what, 2))
  reply[#reply + 1] = count
end
return reply
