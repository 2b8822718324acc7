#!lua flags=allow-oom
-- probe: uncertain messages that are due to be asked about, each taken by one node for one probe.
-- include: clock gate uncertain state
--
-- args: earliest_us:number latest_us:number most:number lease_ms:number after_ms:number rank:number furthest_ms:number
-- earliest_us, latest_us: this call is expected between them. lease_ms: of a probe. after_ms: for
-- messages that nobody planned a probe for; rank: from which to look for those. furthest_ms: after a clock alarm, the
-- furthest that a probe can be ahead; else 0.
-- returns: is_in_doubt:flag now_us:number [next_ms:number rank:number paused_ms:number] (ulid probe_token state record)...
-- is_in_doubt: the clock is, and nothing was done. next_ms: the next probe, or -1. record: without its body.
--
-- Safe to repeat: what was taken comes again when its lease is over. A lost reply costs that time.
local LOOK_MAX, UNREADABLE_MS = 250, 3600000
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end

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
    if not planned[i] then gather('ZADD', K.probes, now_ms + after_ms, ulid) end
  end
  flush()
  return rank + #ulids
end

-- Moments that a clock gave before it stepped back.
local function draw_near()
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
    local s = states[i]
    if s and s.state == 'U' then
      gather('ZADD', K.probes, leased_ms, ulid)
      REPLY_ROW {
        ulid = ulid,
        probe_token = probe_fence(s, leased_ms),
        state = raws[i],
        record = record_without_body(records[i]),
      }
    elseif not s and (records[i] or raws[i]) then
      gather('ZADD', K.probes, now_ms + UNREADABLE_MS, ulid)
    else
      gather('ZREM', K.probes, ulid)
    end
  end
  flush()
end

if furthest_ms > 0 then draw_near() end
local next_rank = plan_missing()
local reply = REPLY {
  is_in_doubt = false, now_us = now_us, next_ms = -1, rank = next_rank, paused_ms = paused_total_ms(),
}
local shut_ms = shut_until()
if shut_ms == 0 then take(reply) end
local next_ms = next_probe_ms()
reply[REPLY.next_ms] = shut_ms == 0 and next_ms or shut_ms
if shut_ms > 0 and next_ms < 0 then reply[REPLY.next_ms] = -1 end
return reply
