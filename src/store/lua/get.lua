#!lua flags=no-writes
-- get: all that is known about messages.
-- include: shard writes record packed state
--
-- ARGV[1] 1: with their past attempts      ARGV[2...] ulids
-- Returns {now_ms, per message: record or '', state entry or '', 1 if it stands in due else 0, lease
--         deadline_ms, next probe_ms or moment of acceptance or 0, history}
local MOMENTS = { L = K.leased, U = K.probes, A = K.accepted }
local ulids, reply = {}, { now_ms }
for i = 2, #ARGV do ulids[#ulids + 1] = ARGV[i] end
local records, states = load(ulids)
local raws = hmget(K.states, ulids)
for i, ulid in ipairs(ulids) do
  local s = states[i]
  local scheduled = s and s.state == 'w' and rc('ZSCORE', K.due, entry_of(ulid, s))
  local moment = s and MOMENTS[s.state] and rc('ZSCORE', MOMENTS[s.state], ulid)
  reply[#reply + 1] = records[i] or ''
  reply[#reply + 1] = raws[i] or ''
  reply[#reply + 1] = scheduled and 1 or 0
  reply[#reply + 1] = tonumber(moment or 0)
  reply[#reply + 1] = ARGV[1] == '1' and rc('HGET', K.history, ulid) or ''
end
return reply
