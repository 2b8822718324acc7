#!lua flags=allow-oom
-- reap: a lease ran out → ready, at the head; or uncertain where the queue parks; or dead as poison.
-- include: shard clock writes events record packed state finals ready wake waiting callback weight waited finish uncertain receipt
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us   ARGV[3] most messages in this call
-- ARGV[4] 1: the queue parks   ARGV[5] retention_ms of dead messages
-- ARGV[6] tail for uncertain messages   ARGV[7] tail for poison
-- ARGV[8] lease_ms after a clock alarm, else 0: no deadline is further ahead
-- ARGV[9] after how long the downstream is asked about an uncertain one, ms, or '': never
-- ARGV[10] retention_ms of delivered messages, where a receipt was faster than the node was lost
-- Returns {0, now_us, next deadline_ms or -1, reaped, parked, poisoned}, or {1, now_us}: the clock is in
--         doubt, and nothing was done
--
-- Safe to repeat: a reaped message has no lease any more. Its token goes, so its node comes too late.
-- Poison: lost with its node for the third time, and it was claimed alone.
local RESCUES_MAX = 2
local most = tonumber(ARGV[3])
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end

-- Deadlines that a clock gave before it stepped back: their nodes, if they live, renew them.
local lease_ms = tonumber(ARGV[8])
for _, key in ipairs(lease_ms > 0 and { K.leased, K.exchanges } or {}) do
  local furthest = '(' .. string.format('%.0f', now_ms + lease_ms + 1000)
  for _, member in ipairs(rc('ZRANGE', key, furthest, '+inf', 'BYSCORE', 'LIMIT', 0, most)) do
    gather('ZADD', key, now_ms + lease_ms, member)
  end
end

local keep = { delivered = tonumber(ARGV[10]), dead = tonumber(ARGV[5]) }
local ulids = rc('ZRANGE', K.leased, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)
local states = load_states(ulids)
local ready_before, reaped, parked, poisoned = ready_length(), 0, 0, 0
for i = #ulids, 1, -1 do
  local ulid, s = ulids[i], states[i]
  gather('ZREM', K.leased, ulid)
  if s and s.state == 'L' then
    s.previous, s.token = s.token, NO_TOKEN
    local poison = s.rescues >= RESCUES_MAX and s.flags % 2 == 1
    s.rescues = math.min(255, s.rescues + 1)
    if close_early(ulid, s, keep) then reaped = reaped + 1
    elseif ARGV[4] == '1' then
      s.state, s.tail, parked = 'U', ARGV[6], parked + 1
      enter_uncertain(ulid, ARGV[9])
      state_save(ulid, s)
    elseif poison then
      s.state, s.tail, poisoned = 'X', ARGV[7], poisoned + 1
      finish(ulid, s, nil, tonumber(ARGV[5]))
    else
      reaped = reaped + 1
      back_to_head(ulid, s)
    end
  end
end
flush()
wake(nil, nil, ready_before, reaped > 0)
local head = tonumber(rc('ZRANGE', K.leased, 0, 0, 'WITHSCORES')[2])
return { 0, now_us, head or -1, reaped, parked, poisoned }
