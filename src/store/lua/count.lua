#!lua flags=no-writes
-- count: how many messages stand where, and what the queue's gates say.
-- include: ready wake gate state limits
--
-- args: (limit is_rate:flag)...
-- limit: the name of one whose standing is asked for, and whether it is a rate.
-- returns: now_ms:number scheduled:number ready:number leased:number uncertain:number accepted:number delivered:number
-- returns: dead:number expired:number cancelled:number oldest_ms:number next_due_ms:number exchanges:number is_paused:flag
-- returns: until_ms:number reason by gate_ms:number gate_kind gate_reason calls_1m:number kept_limits:list
-- returns: delivered_bytes:number dead_bytes:number paused_since_ms:number gate_since_ms:number failed:number
-- returns: failing_since_ms:number last_error oldest_free_ms:number held_by_keys held_keys structure_number:number
-- returns: lanes_left:number backlog_bytes:number keys:number
-- oldest_ms: due time of the oldest ready message, or -1. next_due_ms: or -1. exchanges: in flight. until_ms, reason, by:
-- of the pause. kept_limits: of each limit two texts, how it stands and its debt (see limits). The bytes (see weight), or -1; delivered: with expired and cancelled ones.
-- The since_ms: or -1; gate_since_ms: when it shut first. failed: attempts that failed in a row if the downstream is
-- failing, else 0; failing_since_ms: when the first of them ended. Of a queue with keys: oldest_free_ms: as oldest_ms, of what no key
-- holds; held_by_keys: 'limits' or 'order' where that holds all that is ready, else ''; held_keys: a line for each limit by key, 'COUNT
-- NAME'; structure_number: of the structure in force; lanes_left: about how many lanes a switch has not looked at, or -1: none is under way.
-- backlog_bytes: of records that the backlog counts, where it counts them. keys: how many were given something at run time.
local m = rc('HMGET', K.meta, 'stale', 'pause_since', 'pause_until', 'pause_reason', 'pause_by',
  'gate_until', 'gate_kind', 'gate_reason', 'minute', 'calls', 'calls_last',
  'gate_since', 'weight_delivered', 'weight_dead', 'gate_began', 'failing', 'failed', 'failed_since',
  'failed_error', 'backlog_bytes')
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
local oldest_free, keys_that_hold, keys_held, number, lanes_left = oldest, '', '', 0, -1
-- keyed include: lanes/oldest lanes/counted
-- keyed: oldest, oldest_free = oldest_in_lanes(oldest)
-- keyed: keys_that_hold, keys_held = held_by_keys(ready_length_of_lists()), held_keys()
-- keyed: number, lanes_left = structure_told()

local function calls_last_minute()
  local minute = math.floor(now_ms / 60000)
  local at, this, last = tonumber(m[9] or 0), tonumber(m[10] or 0), tonumber(m[11] or 0)
  local share = (now_ms % 60000) / 60000
  if at == minute then return math.floor(this + last * (1 - share) + 0.5) end
  if at == minute - 1 then return math.floor(this * (1 - share) + 0.5) end
  return 0
end

local function kept_limits()
  local fields = {}
  for i = 1, ROWS do
    fields[2 * i - 1] = limit_field(ROW[i].limit, ROW[i].is_rate)
    fields[2 * i] = 'debt:' .. ROW[i].limit
  end
  local kept = hmget(K.meta, fields)
  for i = 1, #fields do kept[i] = kept[i] or '' end
  return kept
end

local until_ms = tonumber(m[3] or 0)
local is_paused = m[2] and (until_ms == 0 or until_ms > now_ms)
local gate_ms = gate_shut_until(m[6], m[12])
return REPLY {
  now_ms = now_ms, scheduled = rc('ZCARD', K.due), ready = (ready_length()) - tonumber(m[1] or 0),
  leased = rc('ZCARD', K.leased), uncertain = rc('ZCARD', K.uncertain), accepted = rc('ZCARD', K.accepted),
  delivered = rc('ZCARD', K.delivered), dead = rc('ZCARD', K.dead), expired = rc('ZCARD', K.expired),
  cancelled = rc('ZCARD', K.cancelled), oldest_ms = oldest, next_due_ms = due_head() or -1,
  exchanges = rc('ZCOUNT', K.exchanges, now_ms, '+inf'), is_paused = is_paused, until_ms = until_ms,
  reason = m[4] or '', by = m[5] or '', gate_ms = gate_ms, gate_kind = m[7] or '', gate_reason = m[8] or '',
  calls_1m = calls_last_minute(), kept_limits = kept_limits(),
  delivered_bytes = tonumber(m[13] or -1), dead_bytes = tonumber(m[14] or -1),
  paused_since_ms = is_paused and tonumber(m[2]) or -1, gate_since_ms = tonumber(m[15] or -1),
  failed = m[16] and tonumber(m[17] or 0) or 0, failing_since_ms = tonumber(m[18] or -1), last_error = m[19] or '',
  oldest_free_ms = oldest_free, held_by_keys = keys_that_hold, held_keys = keys_held, structure_number = number,
  lanes_left = lanes_left, backlog_bytes = tonumber(m[20] or 0), keys = rc('ZCARD', K.key_settings),
}
