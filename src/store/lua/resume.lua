#!lua flags=allow-oom
-- resume: a pause ends, and so does a gate that the downstream's refusals had shut.
-- include: gate events
--
-- returns: now_ms:number was_stopped:flag
-- was_stopped: it was paused or shut.
--
-- Safe to repeat: without a pause it changes nothing.
local m = rc('HMGET', K.meta, 'pause_since', 'pause_until', 'gate_until', 'shut_since')
local was_stopped = false
if m[1] then
  local until_ms = tonumber(m[2])
  pause_end(m[1], until_ms > 0 and math.min(until_ms, now_ms) or now_ms)
  was_stopped = true
end
if m[3] then
  if tonumber(m[3]) > now_ms then was_stopped = true end
  -- include: hold_book
  if m[4] then hold_book('g', tonumber(m[4]), math.min(now_ms, tonumber(m[3]))) end
  rc('HDEL', K.meta, 'gate_until', 'gate_since', 'shut_since', 'gate_kind', 'gate_reason', 'throttle_streak', 'alarm_streak',
    'refusals', 'gate_began', 'shut_logged')
end
if was_stopped then tell_queue('resumed') end
publish('wake', ' 2')
return REPLY { now_ms = now_ms, was_stopped = was_stopped }
