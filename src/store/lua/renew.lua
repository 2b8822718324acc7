#!lua flags=allow-oom
-- renew: a lease gets a later deadline, if the token is still ours.
-- include: shard writes events record packed state fence
--
-- ARGV[1] lease_ms   ARGV[2] tokens of exchanges that go on
-- ARGV[3...] per message: ulid, token
-- Returns {now_ms, verdict per message}; verdicts as ack
--
-- Safe to repeat: a deadline is only moved later.
local ulids, reply = {}, { now_ms }
local deadline_ms = now_ms + tonumber(ARGV[1])
for i = 3, #ARGV, 2 do ulids[#ulids + 1] = ARGV[i] end
local states = load_states(ulids)
for i, ulid in ipairs(ulids) do
  local verdict = fence(states[i], ARGV[i * 2 + 2])
  if verdict == OK then rc('ZADD', K.leased, 'XX', 'GT', deadline_ms, ulid) end
  reply[#reply + 1] = verdict
end
for from = 1, #ARGV[2], 20 do
  rc('ZADD', K.exchanges, 'XX', 'GT', deadline_ms, string.sub(ARGV[2], from, from + 19))
end
return reply
