#!lua flags=allow-oom
-- probe: uncertain messages that are due to be asked about, each taken by one node for one probe.
-- include: shard clock writes events record packed state gate uncertain
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us   ARGV[3] most messages
-- ARGV[4] lease_ms of a probe   ARGV[5] after_ms, for messages that nobody planned a probe for
-- ARGV[6] rank from which to look for those   ARGV[7] after a clock alarm, the furthest a probe can be
-- ahead, ms; else 0
-- Returns {0, now_us, next probe_ms or -1, next rank, paused_ms, then per message: ulid, fence, state
--         entry, record without its body}, or {1, now_us}: the clock is in doubt, and nothing was done
--
-- Safe to repeat: what was taken comes again when its lease is over. A lost reply costs that time.
local LOOK_MAX, UNREADABLE_MS = 250, 3600000
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local most, lease_ms, rank = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])

-- Until when no call may start: 0 is now, -1 until somebody says so.
local function shut_until()
  local m = rc('HMGET', K.meta, 'pause_since', 'pause_until', 'gate_until', 'gate_since')
  if m[1] and tonumber(m[2]) == 0 then return -1 end
  local pause_ms = m[1] and tonumber(m[2]) or 0
  local until_ms = math.max(pause_ms, gate_shut_until(m[3], m[4]))
  return until_ms > now_ms and until_ms or 0
end

-- Messages that became uncertain while the queue did not probe.
local function plan_missing()
  if rc('ZCARD', K.uncertain) <= rc('ZCARD', K.probes) then return 0 end
  local ulids = rc('ZRANGE', K.uncertain, rank, rank + LOOK_MAX - 1)
  if #ulids == 0 then return 0 end
  local planned = rc('ZMSCORE', K.probes, unpack(ulids))
  for i, ulid in ipairs(ulids) do
    if not planned[i] then gather('ZADD', K.probes, now_ms + tonumber(ARGV[5]), ulid) end
  end
  flush()
  return rank + #ulids
end

-- Moments that a clock gave before it stepped back.
local function draw_near(furthest_ms)
  local from, to = '(' .. string.format('%.0f', now_ms + furthest_ms), '(' .. string.format('%.0f', NEVER_MS)
  for _, ulid in ipairs(rc('ZRANGE', K.probes, from, to, 'BYSCORE', 'LIMIT', 0, LOOK_MAX)) do
    gather('ZADD', K.probes, now_ms + furthest_ms, ulid)
  end
  flush()
end

local function take(reply)
  local ulids = rc('ZRANGE', K.probes, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)
  local records, states = load(ulids)
  local raws = hmget(K.states, ulids)
  local leased_ms = now_ms + lease_ms
  for i, ulid in ipairs(ulids) do
    local s, n = states[i], #reply
    if s and s.state == 'U' then
      gather('ZADD', K.probes, leased_ms, ulid)
      reply[n + 1], reply[n + 2] = ulid, probe_fence(s, leased_ms)
      reply[n + 3], reply[n + 4] = raws[i], record_without_body(records[i])
    elseif not s and (records[i] or raws[i]) then
      gather('ZADD', K.probes, now_ms + UNREADABLE_MS, ulid)
    else
      gather('ZREM', K.probes, ulid)
    end
  end
  flush()
end

if tonumber(ARGV[7]) > 0 then draw_near(tonumber(ARGV[7])) end
local next_rank = plan_missing()
local reply = { 0, now_us, -1, next_rank, paused_total_ms() }
local shut_ms = shut_until()
if shut_ms == 0 then take(reply) end
local next_ms = next_probe_ms()
reply[3] = shut_ms == 0 and next_ms or shut_ms
if shut_ms > 0 and next_ms < 0 then reply[3] = -1 end
return reply
