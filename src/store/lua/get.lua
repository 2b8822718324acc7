#!lua flags=no-writes
-- get: all that is known about messages, as many of them as a call may read.
-- include: rows state collapse/record
--
-- args: with_history:flag with_body:flag ulid...
-- Reads the first of them, until their records take BYTES_MAX; at least one. The caller asks again for the rest.
-- returns: now_ms:number (record state is_due:flag moment_ms:number older history)...
-- record, state: '' where there is none. is_due: it stands in due. moment_ms: deadline of the lease, next probe, moment
-- of acceptance, or 0; NEVER_MS of a message that waits for the one before it of its collapse key. older: the ULID of that one, or ''.
local MOMENTS = { L = K.leased, U = K.probes, A = K.accepted }
local BYTES_MAX = 1048576
local reply, bytes = REPLY { now_ms = now_ms }, 0
for i = 1, ROWS do
  bytes = bytes + rc('HSTRLEN', K.records, ulids[i])
  if bytes > BYTES_MAX and i > 1 then
    ulids = { unpack(ulids, 1, i - 1) }
    break
  end
end

-- The record as it stands, but without its body.
local function head_of(raw)
  if not record_is_readable(raw) then return raw end
  local version, flags = string.byte(raw, 1, 2)
  return string.char(version, flags % 2 == 0 and flags + 1 or flags) .. string.sub(record_without_body(raw), 3)
end

-- The first message of the collapse key of a message, where that is another one; else ''.
local function older_of(ulid, record)
  local at = record_is_readable(record) and collapse_at(record)
  local entry = at and rc('HGET', K.collapse, string.sub(record, at, at + COLLAPSE_HASH_BYTES - 1)) or ''
  local first = string.sub(entry, 1, 26)
  return first ~= ulid and first or ''
end

-- Past attempts; without the wish for them no more than what tells how long a final message waited, and for what.
local function history_of(ulid, s)
  if not with_history and not (s and s.final > 0 and string.find(s.tail, '"h":"', 1, true)) then return '' end
  local lines = rc('HGET', K.history, ulid) or ''
  if with_history or lines == '' then return lines end
  local times = {}
  for line in string.gmatch(lines, '[^\n]+') do
    local start = string.match(line, '"a":{("n":%d+,"s":%d+,"e":%d+.-),"o":')
    if start then times[#times + 1] = '{"a":{' .. start .. ',"o":""}}\n' end
  end
  return table.concat(times)
end

local records, states = load(ulids)
local raws = hmget(K.states, ulids)
for i, ulid in ipairs(ulids) do
  local s = states[i]
  local scheduled = s and s.state == 'w' and rc('ZSCORE', K.due, entry_of(ulid, s))
  local moment = s and MOMENTS[s.state] and rc('ZSCORE', MOMENTS[s.state], ulid)
  local record = records[i] or ''
  local is_held = scheduled and tonumber(scheduled) >= RUST.NEVER_MS
  REPLY_ROW {
    record = with_body and record or head_of(record),
    state = raws[i] or '',
    is_due = scheduled,
    moment_ms = tonumber(moment or (is_held and scheduled) or 0),
    older = is_held and older_of(ulid, record) or '',
    history = history_of(ulid, s),
  }
end
return reply
