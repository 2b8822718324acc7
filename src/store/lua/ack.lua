#!lua flags=allow-oom
-- ack: leased → delivered. Result and final state in one step; the body goes.
-- include: shard writes events record packed waited exchanges gate
--
-- ARGV[1] tokens of exchanges that end with this call   ARGV[2] retention_ms
-- ARGV[3] the messages' tokens, 20 bytes each   ARGV[4...] their ulids, then their last attempts
-- Returns {now_ms, reports, verdict per message}; reports as trouble; verdicts: 0 ok, 1 already, 2 stale, 3 gone, 4 late success
--
-- Safe to repeat: the token of a delivered message stays, so a repeat answers already.
local keep_ms, tokens = tonumber(ARGV[2]), ARGV[3]
local count = #tokens / 20
local ulids, reply = {}, { now_ms, '' }
for i = 1, count do ulids[i] = ARGV[3 + i] end
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
      if not is_leased_as(raw, token) or not is_untold(raw) then return false end
      leased[raw] = token
    end
  end
  return count > 0
end

-- What they weigh, where finals are weighed at all.
local function weigh(ulids, states, slim)
  -- include: state weight
  weigh_in_delivered(ulids, states, slim)
  flush()
end

-- What is put together for all: nobody is told of them, and all were leased until now.
local function ack_plainly()
  for i = 1, count do reply[i + 2] = 0 end
  for _, ulid in ipairs(waited_any and ulids or {}) do announce(ulid) end
  tell_changes(ulids, 'D')
  write_all('ZREM', K.leased, ulids)
  if keep_ms <= 0 then
    write_all('HDEL', K.records, ulids)
    write_all('HDEL', K.states, ulids)
    if rc('HLEN', K.history) > 0 then write_all('HDEL', K.history, ulids) end
    return
  end
  local weighing_number = tonumber(rc('HGET', K.meta, 'weighing') or 0)
  local delivered, states, slim, purges = delivered_of_leased(weighing_number), {}, {}, {}
  local purge_ms = string.format('%d', now_ms + keep_ms)
  for i = 1, count do
    local n, ulid = 2 * i, ulids[i]
    states[n - 1], states[n] = ulid, delivered[raws[i]] .. ARGV[3 + count + i]
    slim[n - 1], slim[n] = ulid, record_without_body(records[i])
    purges[n - 1], purges[n] = purge_ms, ulid
  end
  write_all('HSET', K.states, states)
  write_all('HSET', K.records, slim)
  write_all('ZADD', K.delivered, purges)
  if weighing_number > 0 then weigh(ulids, states, slim) end
end

local function ack_each()
  -- include: state finals ready wake waiting callback weight finish fence uncertain
  local whole, states = load(ulids)
  local succeeded = false
  for i, ulid in ipairs(ulids) do
    local s, token = states[i], token_of(i)
    local verdict = fence_success(s, token)
    if verdict == OK or verdict == LATE then
      if s.state == 'w' then leave_waiting(ulid, s) end
      if s.state == 'U' then leave_uncertain(ulid) end
      if s.state == 'A' then gather('ZREM', K.accepted, ulid) end
      leave_lease(ulid)
      s.state, s.token, s.tail = 'D', token, ARGV[3 + count + i]
      finish(ulid, s, whole[i], keep_ms)
      succeeded = true
    end
    reply[#reply + 1] = verdict
  end
  flush()
  return succeeded
end

local succeeded = true
if is_plain_call() then ack_plainly() else succeeded = ack_each() end
end_exchanges(ARGV[1])
flush()
if succeeded and gate_remembers() then
  -- include: trouble
  downstream_succeeds()
  reply[2] = reports_text()
end
return reply
