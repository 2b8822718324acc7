#!lua flags=allow-oom
-- ack: leased → delivered. Result and final state in one step; the body goes.
-- include: shard writes record state ready finish fence gate
--
-- ARGV[1] tokens of exchanges that end with this call   ARGV[2] retention_ms
-- ARGV[3...] per message: ulid, token, last attempt
-- Returns {now_ms, verdict per message}; verdicts: 0 ok, 1 already, 2 stale, 3 gone, 4 late success
--
-- Safe to repeat: the token of a delivered message stays, so a repeat answers already.
local keep_ms = tonumber(ARGV[2])
local ulids, reply = {}, { now_ms }
for i = 3, #ARGV, 3 do ulids[#ulids + 1] = ARGV[i] end
local raws = hmget(K.states, ulids)
-- Nothing of a record is needed where nothing of it is kept.
local records = keep_ms > 0 and hmget(K.records, ulids) or raws

-- Every message is leased under the token shown, as it should be: bytes are put together, not decoded.
local function is_plain_call()
  local seen = {}
  for i, ulid in ipairs(ulids) do
    if not raws[i] or not records[i] or seen[ulid] or not is_leased_as(raws[i], ARGV[1 + i * 3]) then
      return false
    end
    seen[ulid] = true
  end
  return #ulids > 0
end

local function ack_plainly()
  local final = struct.pack('>I6', now_ms)
  local states = {}
  for i, ulid in ipairs(ulids) do
    states[2 * i - 1], states[2 * i] = ulid, delivered_of_leased(raws[i], final, ARGV[2 + i * 3])
    reply[i + 1] = OK
  end
  finish_delivered(ulids, states, records, keep_ms)
end

local function ack_each()
  local whole, states = load(ulids)
  local succeeded = false
  for i, ulid in ipairs(ulids) do
    local s, token = states[i], ARGV[1 + i * 3]
    local verdict = fence_success(s, token)
    if verdict == OK or verdict == LATE then
      if s.state == 'w' then leave_waiting(ulid, s) end
      if s.state == 'U' then gather('ZREM', K.uncertain, ulid) end
      leave_lease(ulid)
      s.state, s.token, s.tail = 'D', token, ARGV[2 + i * 3]
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
