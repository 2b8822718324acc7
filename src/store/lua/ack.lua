#!lua flags=allow-oom
-- ack: leased → delivered. Result and final state in one step; the body goes.
-- include: shard writes events record state ready callback weight finish fence gate uncertain
--
-- ARGV[1] tokens of exchanges that end with this call   ARGV[2] retention_ms
-- ARGV[3] the messages' tokens, 20 bytes each   ARGV[4...] their ulids, then their last attempts
-- Returns {now_ms, verdict per message}; verdicts: 0 ok, 1 already, 2 stale, 3 gone, 4 late success
--
-- Safe to repeat: the token of a delivered message stays, so a repeat answers already.
local keep_ms, tokens = tonumber(ARGV[2]), ARGV[3]
local count = #tokens / 20
local ulids, reply = {}, { now_ms }
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

local function ack_plainly()
  local delivered, states = delivered_of_leased(keep_ms > 0 and weighing() or 0), {}
  for i = 1, count do
    reply[i + 1] = OK
    if keep_ms > 0 then
      states[2 * i - 1], states[2 * i] = ulids[i], delivered[raws[i]] .. ARGV[3 + count + i]
    end
  end
  finish_delivered(ulids, states, records, keep_ms)
end

local function ack_each()
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
  return succeeded
end

local succeeded = true
if is_plain_call() then ack_plainly() else succeeded = ack_each() end
end_exchanges(ARGV[1])
flush()
if succeeded then gate_success() end
return reply
