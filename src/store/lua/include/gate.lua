-- Pause and gate of the queue: state of this shard, asked by every claim.
local THROTTLE_MS, THROTTLE_MS_MAX = 1000, 60000
local ALARM_MS, ALARM_MS_MAX = 5000, 600000

-- Until when the gate is shut, 0: it is open. One that was shut later than now is a leftover of a clock
-- that has stepped back since: it would stay shut for as long as the step was.
local function gate_shut_until(until_ms, since_ms)
  if not until_ms or (since_ms and tonumber(since_ms) > now_ms + 1000) then return 0 end
  return tonumber(until_ms) > now_ms and tonumber(until_ms) or 0
end

-- Ends a pause and books the time it took, so that max_age can stand still meanwhile.
local function pause_end(since, ended_ms)
  if not since then return end
  local paused_ms = math.max(0, ended_ms - tonumber(since))
  rc('HINCRBY', K.meta, 'paused_ms', paused_ms)
  rc('HDEL', K.meta, 'pause_since', 'pause_until', 'pause_reason', 'pause_by')
end

-- Time spent paused until now, in milliseconds.
local function paused_total_ms()
  local m = rc('HMGET', K.meta, 'paused_ms', 'pause_since', 'pause_until')
  local total_ms = tonumber(m[1] or 0)
  if not m[2] then return total_ms end
  local until_ms = tonumber(m[3])
  local ended_ms = now_ms
  if until_ms > 0 then ended_ms = math.min(now_ms, until_ms) end
  return total_ms + math.max(0, ended_ms - tonumber(m[2]))
end

-- Shuts the gate; streaks grow only while it stands open, so that a volley of refusals counts once.
local function gate_shut(kind, asked_ms, reason)
  local m = rc('HMGET', K.meta, 'gate_until', kind .. '_streak', 'gate_since')
  local until_ms, streak = gate_shut_until(m[1], m[3]), tonumber(m[2] or 0)
  if until_ms == 0 then
    streak = streak + 1
    rc('HSET', K.meta, kind .. '_streak', streak)
    tell_queue('shut')
  end
  local pause_ms = asked_ms
  if pause_ms < 0 and kind == 'throttle' then
    pause_ms = math.min(THROTTLE_MS_MAX, THROTTLE_MS * 2 ^ math.min(20, math.max(0, streak - 1)))
  elseif pause_ms < 0 then
    pause_ms = math.min(ALARM_MS_MAX, ALARM_MS * 2 ^ math.min(20, math.max(0, streak - 1)))
  end
  if now_ms + pause_ms > until_ms then
    rc('HSET', K.meta, 'gate_until', string.format('%.0f', now_ms + pause_ms), 'gate_kind', kind,
      'gate_reason', reason, 'gate_since', now_ms)
  end
end

-- A success shows that the door is open again: the streaks start over.
local function gate_success()
  local m = rc('HMGET', K.meta, 'throttle_streak', 'alarm_streak', 'refusals')
  if m[1] or m[2] or m[3] then
    rc('HDEL', K.meta, 'throttle_streak', 'alarm_streak', 'refusals')
  end
end
