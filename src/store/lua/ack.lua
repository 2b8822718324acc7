#!lua flags=allow-oom
-- ack: leased → delivered. Result and final state in one step; the body goes.
-- include: shard writes events record packed waited exchanges gate
-- keyed include: lanes/index
--
-- args: exchanges keep_ms:number tokens (ulid last_attempt)...
-- exchanges: tokens of those that end with this call. tokens: those of the messages, 20 bytes each.
-- returns: now_ms:number reports verdict:number...
-- Reports as trouble, verdicts as fence; and that a message may have a collapse key: it is left as it is, for the form of this
-- script that knows of those.
--
-- Safe to repeat: the token of a delivered message stays, so a repeat answers already.
local reply, ulids = REPLY { now_ms = now_ms, reports = '' }, {}
local count = ROWS
for i = 1, count do ulids[i] = ROW[i].ulid end
local raws = hmget(K.states, ulids)
-- Nothing of a record is needed where nothing of it is kept.
local records = keep_ms > 0 and hmget(K.records, ulids) or raws

local function token_of(i) return string.sub(tokens, 20 * i - 19, 20 * i) end

-- Every message is leased under the token shown, as it should be: bytes are put together, not decoded.
local function is_plain_call()
  if keep_ms <= 0 and waited_any then return false end
  local seen, leased = {}, {}
  for i = 1, count do
    local ulid, raw = ulids[i], raws[i]
    if not raw or not records[i] or seen[ulid] then return false end
    seen[ulid] = true
    local token = token_of(i)
    if leased[raw] ~= token then
      if not is_leased_as(raw, token) or not ends_alone(raw) then return false end
      leased[raw] = token
    end
  end
  return count > 0
end

-- What they weigh, where finals are weighed at all.
local function weigh(ulids, states, slim)
  -- include: weight
  weigh_in_delivered(ulids, states, slim)
  flush()
end

-- What is put together for all: nobody is told of them, and all were leased until now.
local function ack_plainly()
  for i = 1, count do reply[REPLY.verdict - 1 + i] = RUST.VERDICT_OK end
  for _, ulid in ipairs(waited_any and ulids or {}) do announce(ulid) end
  tell_changes(ulids, 'D')
  -- keyed: for _, ulid in ipairs(ulids) do leased_until_now[#leased_until_now + 1], touched[ulid] = ulid, { 'D' } end
  write_all('ZREM', K.leased, ulids)
  if keep_ms <= 0 then
    write_all('HDEL', K.records, ulids)
    write_all('HDEL', K.states, ulids)
    if rc('HLEN', K.history) > 0 then write_all('HDEL', K.history, ulids) end
    return
  end
  -- include: hold_tail
  local weighing_number = tonumber(rc('HGET', K.meta, 'weighing') or 0)
  local delivered, states, slim, purges = delivered_of_leased(weighing_number), {}, {}, {}
  local purge_ms = string.format('%d', now_ms + keep_ms)
  for i = 1, count do
    local n, ulid = 2 * i, ulids[i]
    states[n - 1], states[n] = ulid, delivered[raws[i]] .. hold_tail(ulid, ROW[i].last_attempt)
    slim[n - 1], slim[n] = ulid, record_without_body(records[i])
    purges[n - 1], purges[n] = purge_ms, ulid
  end
  write_all('HSET', K.states, states)
  write_all('HSET', K.records, slim)
  write_all('ZADD', K.delivered, purges)
  if weighing_number > 0 then weigh(ulids, states, slim) end
end

local function ack_each()
  -- include: finish late settle
  -- collapsing include: collapse/steps
  local knows_collapse = false
  -- collapsing: knows_collapse = true
  local function judge(s, token)
    if s and s.fields ~= '' and not knows_collapse then return RUST.VERDICT_COLLAPSES end
    return fence_success(s, token)
  end
  local whole, states = load(ulids)
  local acked = settle(reply, states, judge, function(ulid, s, i)
    leave_place(ulid, s)
    s.state, s.token, s.tail = 'D', token_of(i), ROW[i].last_attempt
    finish(ulid, s, whole[i], keep_ms)
  end)
  flush()
  return acked > 0
end

local succeeded = true
if is_plain_call() then ack_plainly() else succeeded = ack_each() end
end_exchanges(exchanges)
flush()
if succeeded and gate_remembers() then
  -- include: trouble
  downstream_succeeds()
  reply[REPLY.reports] = reports_text()
end
return reply
