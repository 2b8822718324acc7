#!lua flags=allow-oom
-- reap: a lease ran out → ready, at the head; or uncertain where the queue parks; or dead as poison.
-- include: shard writes record state ready finish
--
-- ARGV[1] most messages in this call   ARGV[2] 1: the queue parks   ARGV[3] retention_ms of dead messages
-- ARGV[4] tail for uncertain messages   ARGV[5] tail for poison
-- Returns {now_ms, next deadline_ms or -1, reaped, parked, poisoned}
--
-- Safe to repeat: a reaped message has no lease any more. Its token goes, so its node comes too late.
-- Poison: lost with its node for the third time, and it was claimed alone.
local RESCUES_MAX = 2
local ulids = rc('ZRANGE', K.leased, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, tonumber(ARGV[1]))
local states = load_states(ulids)
local ready_before, reaped, parked, poisoned = ready_length(), 0, 0, 0
for i = #ulids, 1, -1 do
  local ulid, s = ulids[i], states[i]
  gather('ZREM', K.leased, ulid)
  if s and s.state == 'L' then
    s.previous, s.token = s.token, NO_TOKEN
    local poison = s.rescues >= RESCUES_MAX and s.flags == 1
    s.rescues = math.min(255, s.rescues + 1)
    if ARGV[2] == '1' then
      s.state, s.tail, parked = 'U', ARGV[4], parked + 1
      gather('ZADD', K.uncertain, now_ms, ulid)
      state_save(ulid, s)
    elseif poison then
      s.state, s.tail, poisoned = 'X', ARGV[5], poisoned + 1
      finish(ulid, s, nil, tonumber(ARGV[3]))
    else
      reaped = reaped + 1
      back_to_head(ulid, s)
    end
  end
end
flush()
wake(nil, nil, ready_before, reaped > 0)
local head = tonumber(rc('ZRANGE', K.leased, 0, 0, 'WITHSCORES')[2])
return { now_ms, head or -1, reaped, parked, poisoned }
