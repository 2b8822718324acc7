-- include: gate events trouble
-- What shuts the gate of the queue.
local THROTTLE_MS, THROTTLE_MS_MAX = 1000, 60000
local ALARM_MS, ALARM_MS_MAX = 5000, 600000

-- Shuts the gate, for asked_ms or by its streak, and says so where it is to be logged; streaks grow only while it stands open, so that a volley of refusals counts once.
local function gate_shut(kind, asked_ms, reason, is_logged)
  local m = rc('HMGET', K.meta, 'gate_until', kind .. '_streak', 'gate_since', 'shut_since')
  local until_ms, streak = gate_shut_until(m[1], m[3]), tonumber(m[2] or 0)
  if until_ms == 0 then
    streak = streak + 1
    rc('HSET', K.meta, kind .. '_streak', streak)
    rc('HSETNX', K.meta, 'gate_began', now_ms)
    -- include: hold_book
    if m[4] then hold_book('g', tonumber(m[4]), math.min(now_ms, tonumber(m[1] or 0))) end
    rc('HSET', K.meta, 'shut_since', now_ms)
    tell_queue('shut')
  end
  local pause_ms = asked_ms
  if not pause_ms and kind == 'throttle' then
    pause_ms = math.min(THROTTLE_MS_MAX, THROTTLE_MS * 2 ^ math.min(20, math.max(0, streak - 1)))
  elseif not pause_ms then
    pause_ms = math.min(ALARM_MS_MAX, ALARM_MS * 2 ^ math.min(20, math.max(0, streak - 1)))
  end
  if now_ms + pause_ms > until_ms then
    rc('HSET', K.meta, 'gate_until', string.format('%.0f', now_ms + pause_ms), 'gate_kind', kind,
      'gate_reason', reason, 'gate_since', now_ms)
    until_ms = now_ms + pause_ms
  end
  if is_logged and logs_beginning('shut') then
    reports[#reports + 1] = { what = 'shut', kind = kind, error = reason, until_ms = until_ms }
  end
end
