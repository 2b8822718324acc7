-- include: shard
-- Pause and gate of the queue: state of this shard, asked by every claim.

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
  -- include: hold_book
  hold_book('p', tonumber(since), ended_ms)
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

-- Whether a success would change anything: the streaks, and what else of `trouble` it ends.
local function gate_remembers()
  local m = rc('HMGET', K.meta, 'throttle_streak', 'alarm_streak', 'refusals', 'failed', 'shut_logged')
  return m[1] or m[2] or m[3] or m[4] or m[5]
end
