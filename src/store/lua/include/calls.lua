-- include: shard
-- Calls of this and the last minute, for rate.observed_1m; where the queue has a rate of its own, their units.
local function calls_count(calls)
  local minute = math.floor(now_ms / 60000)
  local m = rc('HMGET', K.meta, 'minute', 'calls', 'calls_last')
  local at, this, last = tonumber(m[1] or 0), tonumber(m[2] or 0), 0
  if at == minute then
    this, last = this + calls, tonumber(m[3] or 0)
  else
    if at == minute - 1 then last = this end
    this = calls
  end
  rc('HSET', K.meta, 'minute', minute, 'calls', this, 'calls_last', last)
end
