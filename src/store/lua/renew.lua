#!lua flags=allow-oom
-- renew: a lease gets a later deadline, if the token is still ours.
-- include: rows fence
--
-- args: lease_ms:number exchanges (ulid token)...
-- exchanges: tokens of those that go on.
-- returns: now_ms:number verdict:number...
-- Verdicts as fence.
--
-- Safe to repeat: a deadline is only moved later.
local reply = REPLY { now_ms = now_ms }
local deadline_ms = now_ms + lease_ms
local states = load_states(ulids)
for i, ulid in ipairs(ulids) do
  local verdict = fence(states[i], ROW[i].token)
  if verdict == OK then rc('ZADD', K.leased, 'XX', 'GT', deadline_ms, ulid) end
  reply[#reply + 1] = verdict
end
for from = 1, #exchanges, 20 do
  rc('ZADD', K.exchanges, 'XX', 'GT', deadline_ms, string.sub(exchanges, from, from + 19))
end
return reply
