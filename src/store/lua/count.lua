#!lua flags=no-writes
-- count: how many messages stand where, and what the queue's gates say.
-- include: shard writes record packed state ready wake gate
--
-- ARGV none
-- Returns {now_ms, scheduled, ready, leased, uncertain, accepted, delivered, dead, expired, cancelled,
--         due_ms of the oldest ready message or -1, next due_ms or -1, exchanges in flight, paused
--         (1 or 0), pause_until, pause_reason, pause_by, gate_until, gate_kind, gate_reason, calls in
--         the last minute, arrival time in us, bytes of delivered, expired and cancelled messages or -1, of
--         dead ones or -1 (see weight), when the pause began or -1, when the gate shut first or -1, attempts that
--         failed in a row if the downstream is failing else 0, when the first of them ended, the last error}
local m = rc('HMGET', K.meta, 'stale', 'pause_since', 'pause_until', 'pause_reason', 'pause_by',
  'gate_until', 'gate_kind', 'gate_reason', 'minute', 'calls', 'calls_last', 'tat_us',
  'gate_since', 'weight_delivered', 'weight_dead', 'gate_began', 'failing', 'failed', 'failed_since',
  'failed_error')
local oldest = -1
for band = 9, 0, -1 do
  for _, entry in ipairs(rc('LRANGE', READY[band], 0, 9)) do
    if entry_is_current(entry) then
      local _, states = load({ string.sub(entry, 1, 26) })
      local s = states[1]
      if s and (oldest < 0 or s.due < oldest) then oldest = s.due end
      if s then break end
    end
  end
end

local function calls_last_minute()
  local minute = math.floor(now_ms / 60000)
  local at, this, last = tonumber(m[9] or 0), tonumber(m[10] or 0), tonumber(m[11] or 0)
  local share = (now_ms % 60000) / 60000
  if at == minute then return math.floor(this + last * (1 - share) + 0.5) end
  if at == minute - 1 then return math.floor(this * (1 - share) + 0.5) end
  return 0
end

local until_ms = tonumber(m[3] or 0)
local paused = m[2] and (until_ms == 0 or until_ms > now_ms)
local gate_ms = gate_shut_until(m[6], m[13])
return {
  now_ms, rc('ZCARD', K.due), ready_length() - tonumber(m[1] or 0), rc('ZCARD', K.leased),
  rc('ZCARD', K.uncertain), rc('ZCARD', K.accepted), rc('ZCARD', K.delivered), rc('ZCARD', K.dead),
  rc('ZCARD', K.expired), rc('ZCARD', K.cancelled), oldest, due_head() or -1,
  rc('ZCOUNT', K.exchanges, now_ms, '+inf'), paused and 1 or 0, until_ms, m[4] or '', m[5] or '',
  gate_ms, m[7] or '', m[8] or '', calls_last_minute(),
  math.floor(tonumber(m[12] or 0)), tonumber(m[14] or -1), tonumber(m[15] or -1),
  paused and tonumber(m[2]) or -1, tonumber(m[16] or -1), m[17] and tonumber(m[18] or 0) or 0,
  tonumber(m[19] or -1), m[20] or '',
}
