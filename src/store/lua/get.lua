#!lua flags=no-writes
-- get: all that is known about messages, as many of them as a call may read.
-- include: shard writes record packed state
--
-- ARGV[1] 1: with their past attempts   ARGV[2] 1: with their bodies   ARGV[3...] ulids
-- Reads the first ones, until their records take BYTES_MAX; at least one. The caller asks again for the rest.
-- Returns {now_ms, per message that was read: record or '', state entry or '', 1 if it stands in due else 0, lease
--         deadline_ms, next probe_ms or moment of acceptance or 0, history}
local MOMENTS = { L = K.leased, U = K.probes, A = K.accepted }
local BYTES_MAX = 1048576
local ulids, reply, bytes = {}, { now_ms }, 0
for i = 3, #ARGV do
  bytes = bytes + rc('HSTRLEN', K.records, ARGV[i])
  if bytes > BYTES_MAX and i > 3 then break end
  ulids[#ulids + 1] = ARGV[i]
end

-- The record as it stands, but without its body.
local function head_of(raw)
  if not record_is_readable(raw) then return raw end
  local version, flags = string.byte(raw, 1, 2)
  return string.char(version, flags % 2 == 0 and flags + 1 or flags) .. string.sub(record_without_body(raw), 3)
end

local records, states = load(ulids)
local raws = hmget(K.states, ulids)
for i, ulid in ipairs(ulids) do
  local s = states[i]
  local scheduled = s and s.state == 'w' and rc('ZSCORE', K.due, entry_of(ulid, s))
  local moment = s and MOMENTS[s.state] and rc('ZSCORE', MOMENTS[s.state], ulid)
  local record = records[i] or ''
  reply[#reply + 1] = ARGV[2] == '1' and record or head_of(record)
  reply[#reply + 1] = raws[i] or ''
  reply[#reply + 1] = scheduled and 1 or 0
  reply[#reply + 1] = tonumber(moment or 0)
  reply[#reply + 1] = ARGV[1] == '1' and rc('HGET', K.history, ulid) or ''
end
return reply
