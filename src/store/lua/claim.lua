#!lua flags=allow-oom
-- claim: ready → leased. Asks the queue's gates and takes what may start within the horizon.
-- include: shard clock writes events record packed ready gate limit
--
-- ARGV[1] node (12 bytes)     ARGV[2] sequence of this claim at this node (8 bytes)
-- ARGV[3] most messages       ARGV[4] most bytes      ARGV[5] lease_ms     ARGV[6] concurrency
-- ARGV[7] period_us or 0      ARGV[8] burst           ARGV[9] horizon_us   ARGV[10] slots only before this moment_us, or 0
-- ARGV[11] batch: max_items or 0   ARGV[12] max_bytes   ARGV[13] max_wait_ms   ARGV[14] 1: do not wait for company
-- ARGV[15] calls already granted by the home slot, or -1: the limit is asked here
-- ARGV[16] retention_ms of expired messages   ARGV[17] lead_us: how long the reply takes; no slot is sooner
-- ARGV[18] ARGV[19] moments between which this call is expected, us: outside of them nothing expires, no
--         pause ends and no exchange is given up
-- Returns {code, now_us, wait_us or -1, ready left, paused_ms}, and if messages were taken four lists: ulids,
--         records, headers of their state entries (see claimed_header), slots in us; '' is the header of a first claim now, no
--         headers at all are as many of those, a single slot is that of all; codes: 0 taken, 1 empty, 2 paused, 3 gate shut, 4 concurrency,
--         5 limit, 6 batch gathers, 7 only stale entries met: ask again, 8 only entries met that would
--         expire by a clock in doubt
--
-- Safe to repeat: the shard remembers each node's last claim; the same sequence returns the same set. A
-- repeat writes too, so that a durability wait after it covers the first.
local SCAN_MAX = 1000
local node, token = ARGV[1], ARGV[1] .. ARGV[2]
local most, bytes_max, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local concurrency, period_us, burst = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local horizon_us, before_us = tonumber(ARGV[9]), tonumber(ARGV[10])
local batch_items, batch_bytes = tonumber(ARGV[11]), tonumber(ARGV[12])
local batch_wait_ms, batch_now = tonumber(ARGV[13]), ARGV[14] == '1'
local granted, expired_keep_ms, lead_us = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local is_batch = batch_items > 0
local in_doubt = clock_in_doubt(ARGV[18], ARGV[19])
local DOUBT_WAIT_US = 1000000

-- A pause that ends with this call ends before anybody asks.
local paused_ms
local function paused()
  paused_ms = paused_ms or paused_total_ms()
  return paused_ms
end

local function answer(code, wait_us, left, taken)
  local reply = { code, now_us, math.ceil(wait_us), left, paused() }
  if taken then
    reply[6], reply[7], reply[8], reply[9] = taken.ulids, taken.records, taken.headers, taken.slots
  end
  return reply
end

-- What is remembered of a claim: its token, how many messages, their ulids, their slots in as many digits.
local SLOT_DIGITS = 16
local function memory_of(ulids, slots)
  local digits = {}
  for i, slot_us in ipairs(slots) do digits[i] = string.format('%016d', slot_us) end
  return token .. string.format('%04d', #ulids) .. table.concat(ulids) .. table.concat(digits)
end

-- The reply to this very claim was lost: what of it still stands under the same token.
local function repeated()
  local last = rc('HGET', K.claims, node)
  if not last or string.sub(last, 1, 20) ~= token then return nil end
  local ulids, slots, count = {}, {}, tonumber(string.sub(last, 21, 24))
  for i = 1, count do ulids[i] = string.sub(last, 26 * i - 1, 26 * i + 24) end
  for from = 25 + 26 * count, #last, SLOT_DIGITS do
    slots[#slots + 1] = tonumber(string.sub(last, from, from + SLOT_DIGITS - 1))
  end
  local records, states = hmget(K.records, ulids), hmget(K.states, ulids)
  local taken = { ulids = {}, slots = {}, headers = {}, records = {} }
  for i, ulid in ipairs(ulids) do
    if records[i] and states[i] and is_leased_as(states[i], token) then
      local n = #taken.ulids + 1
      taken.ulids[n], taken.slots[n], taken.records[n] = ulid, slots[i] or slots[1], records[i]
      taken.headers[n] = claimed_header(states[i])
    end
  end
  return taken
end

-- Pause and gate: how long until it is worth asking again (-1: somebody will tell), or nil when open.
local function shut()
  local m = rc('HMGET', K.meta, 'pause_since', 'pause_until', 'gate_until', 'gate_since')
  if m[1] then
    local until_ms = tonumber(m[2])
    if until_ms == 0 then return 2, -1 end
    if until_ms > now_ms then return 2, (until_ms - now_ms) * 1000 end
    if in_doubt then return 2, DOUBT_WAIT_US end
    pause_end(m[1], until_ms)
  end
  local gate_ms = gate_shut_until(m[3], m[4])
  if gate_ms > 0 then return 3, (gate_ms - now_ms) * 1000 end
  return nil
end

-- Calls that may be in flight beside those that are.
local function free_calls(in_flight)
  if not is_batch then return concurrency - in_flight end
  if not in_doubt then rc('ZREMRANGEBYSCORE', K.exchanges, '-inf', now_ms) end
  return concurrency - rc('ZCARD', K.exchanges)
end

-- Whether the only message in flight went alone, as a suspect: then nothing starts beside it.
local function is_suspect_out(in_flight)
  if in_flight ~= 1 then return false end
  return is_alone(rc('HGET', K.states, rc('ZRANGE', K.leased, 0, 0)[1]))
end

-- How much longer a batch gathers, in microseconds; 0: it fires.
local function batch_gathers(length)
  -- include: state
  local stale = tonumber(rc('HGET', K.meta, 'stale') or 0)
  if batch_now or length - stale >= batch_items then return 0 end
  local oldest_ms, bytes = nil, 0
  for band = 9, 0, -1 do
    local entries = rc('LRANGE', READY[band], 0, math.min(batch_items + stale, SCAN_MAX) - 1)
    local is_first = true
    for _, entry in ipairs(entries) do
      local ulid = string.sub(entry, 1, 26)
      if stale == 0 or entry_is_current(entry) then
        bytes = bytes + rc('HSTRLEN', K.records, ulid)
        local _, states = load(is_first and { ulid } or {})
        local s = states[1]
        if s then oldest_ms, is_first = math.min(oldest_ms or s.due, s.due), false end
      end
    end
  end
  -- Due later than now and yet ready: the clock has stepped back, and the wait has no measure.
  if bytes >= batch_bytes or (oldest_ms or 0) > now_ms then return 0 end
  return math.max(0, ((oldest_ms or now_ms) + batch_wait_ms - now_ms) * 1000)
end

-- How many records may be read at once: by the largest that this shard ever took in, so that
-- together they stay within the bytes that are left. None: one at a time, by its own size.
local function readable(left, count)
  local largest = tonumber(rc('HGET', K.meta, 'largest') or left)
  return math.min(count, math.floor(left / math.max(1, largest)))
end

-- What meets an entry that something has touched before, or that does not stand for a message any more. Most
-- calls meet none, and these functions are made in those that do.
local made
local function met_before()
  if made then return made end
  -- include: state finals callback weight waited finish

  -- Sorts one such entry: taken, expired or stale. Returns whether the walk goes on, and whether past it; nil
  -- where it cannot be read.
  local function meet(entry, ulid, raw, record, is_first, found, alone_possible)
    if not is_readable(record, raw) then return nil end
    local s = is_first and record and (state_read(raw) or state_of_record(record))
    if not s or s.state ~= 'w' or entry_of(ulid, s) ~= entry then
      found.stale = found.stale + 1
      return true, true
    end
    if s.expires > 0 and s.expires <= now_ms then
      found.lapsed[#found.lapsed + 1] = { ulid = ulid, state = s, record = record }
      return true, true
    end
    if s.rescues >= 2 and (#found.ulids > 0 or not alone_possible) then
      -- Lost with its node twice: it goes alone, so that a third loss has no other cause.
      found.blocked = true
      return false, false
    end
    found.bytes = found.bytes + #record
    if s.token ~= NO_TOKEN then s.previous = s.token end
    s.state, s.token, s.attempts = 'L', token, math.min(65535, s.attempts + 1)
    s.flags = told_flags(s.flags) + (s.rescues < 2 and 0 or 1)
    if s.first == 0 then s.first, s.paused = now_ms, paused() end
    if s.expires > 0 then gather('ZREM', K.expiry, ulid) end
    local n, state = #found.ulids + 1, state_pack(s)
    found.ulids[n], found.records[n] = ulid, record
    found.states[2 * n - 1], found.states[2 * n] = ulid, state
    for i = #found.headers + 1, n - 1 do found.headers[i] = '' end
    found.headers[n] = claimed_header(state)
    return s.rescues < 2, true
  end

  local function lapse(lapsed)
    for _, t in ipairs(lapsed) do
      if in_doubt then
        -- Neither sent nor ended: it steps aside for the others.
        ready_tail(entry_of(t.ulid, t.state), t.state.band)
      else
        t.state.state = 'E'
        if t.state.expires > 0 then gather('ZREM', K.expiry, t.ulid) end
        finish(t.ulid, t.state, t.record, expired_keep_ms)
      end
    end
    flush()
  end

  made = { meet = meet, lapse = lapse }
  return made
end

-- Meets `count` entries from `at`; most have never been touched, and need no decoding. What cannot be
-- read leaves the line untouched, or nothing behind it would ever go; an entry that stands there
-- twice is stale the second time.
local function meet_some(entries, at, count, found, alone_possible)
  local ulids = {}
  for i = 1, count do ulids[i] = string.sub(entries[at + i], 1, 26) end
  local records, raws = hmget(K.records, ulids), hmget(K.states, ulids)
  local taken, taken_records, taken_states, met = found.ulids, found.records, found.states, found.met
  local first_claim = found.first_claim
  local n, bytes = #taken, 0
  for i = 1, count do
    local entry, ulid, record, raw = entries[at + i], ulids[i], records[i], raws[i]
    local is_first = not met[entry]
    met[entry] = true
    local start = is_first and not raw and record and string.sub(record, 1, PLAIN_BYTES)
    if start and plain_place[start] == string.sub(entry, 27) then
      n = n + 1
      taken[n], taken_records[n] = ulid, record
      taken_states[2 * n - 1], taken_states[2 * n] = ulid, first_claim[start]
      bytes = bytes + #record
    else
      found.bytes, bytes = found.bytes + bytes, 0
      local goes_on, past = met_before().meet(entry, ulid, raw, record, is_first, found, alone_possible)
      if goes_on == false then return at + i - (past and 0 or 1), false end
      n = #taken
    end
  end
  found.bytes = found.bytes + bytes
  return at + count, true
end

-- Walks the entries of one band; returns how far it came, and whether it goes on.
local function walk(entries, want, found, limit_bytes, alone_possible)
  local at, goes_on = 0, true
  while at < #entries and goes_on do
    local taken = #found.ulids
    if taken >= want then return at, false end
    local count = readable(limit_bytes - found.bytes, math.min(#entries - at, want - taken))
    if count < 1 then
      count = 1
      local size = rc('HSTRLEN', K.records, string.sub(entries[at + 1], 1, 26))
      if taken > 0 and found.bytes + size > limit_bytes then return at, false end
    end
    at, goes_on = meet_some(entries, at, count, found, alone_possible)
  end
  return at, goes_on
end

-- Walks a band from its head. As many entries are read as are wanted, and more only once some of them
-- were met that cannot be taken. Returns whether the next band may be walked.
local function walk_band(list, want, found, limit_bytes, alone_possible)
  local from, goes_on, entries = 0, true, nil
  repeat
    local missing = want - #found.ulids + (from > 0 and 100 or 0)
    entries = rc('LRANGE', list, from, math.min(from + missing, SCAN_MAX) - 1)
    local walked
    walked, goes_on = walk(entries, want, found, limit_bytes, alone_possible)
    from = from + walked
  until not goes_on or #entries < missing or #found.ulids >= want
  if from > 0 then gather('LTRIM', list, from, -1) end
  found.walked = found.walked + from
  return goes_on
end

-- Walks the heads of the bands, best first, and splits what it meets: taken, expired, stale.
local function take(want, alone_possible, lengths)
  local found = {
    ulids = {}, records = {}, states = {}, headers = {}, lapsed = {}, met = {}, stale = 0, bytes = 0,
    walked = 0, slots = {}, blocked = false, first_claim = first_claims(token, paused()),
  }
  local limit_bytes = is_batch and math.min(batch_bytes, bytes_max) or bytes_max
  for band = 9, 0, -1 do
    local goes_on = true
    if lengths[band] > 0 then
      goes_on = walk_band(READY[band], want, found, limit_bytes, alone_possible)
    end
    if not goes_on or #found.ulids >= want then break end
  end
  return found
end

local function lease(taken, slots)
  local ulids, deadlines = taken.ulids, {}
  -- Formatted once: Redis would turn the number into text for each message.
  local deadline_ms = string.format('%d', now_ms + lease_ms)
  for i = 1, #ulids do deadlines[2 * i - 1], deadlines[2 * i] = deadline_ms, ulids[i] end
  local alike = is_batch or #slots == 0
  for i = 1, alike and 1 or #ulids do taken.slots[i] = math.ceil(slots[i] or now_us) end
  tell_changes(ulids, 'L')
  write_all('HSET', K.states, taken.states)
  write_all('ZADD', K.leased, deadlines)
  gather('HSET', K.claims, node, memory_of(ulids, taken.slots))
  if is_batch then gather('ZADD', K.exchanges, deadline_ms, token) end
end

local again = repeated()
local length, lengths = ready_length()
if again and #again.ulids > 0 then
  rc('HSET', K.meta, 'repeated', now_ms)
  return answer(0, 0, length, again)
end
local code, shut_us = shut()
if code then return answer(code, shut_us, length) end
if length == 0 then return answer(1, -1, 0) end
local in_flight = rc('ZCARD', K.leased)
if is_suspect_out(in_flight) then return answer(4, -1, length) end
local calls = math.min(free_calls(in_flight), granted >= 0 and granted or most)
if calls <= 0 then return answer(4, -1, length) end
if is_batch then
  local gather_us = batch_gathers(length)
  if gather_us > 0 then return answer(6, gather_us, length) end
  calls = 1
end

local slots, tats, next_us = {}, {}, now_us
if period_us > 0 and granted < 0 then
  slots, tats, next_us = limit_slots(period_us, burst, horizon_us, calls, before_us, lead_us)
  if #slots == 0 then return answer(5, next_us - now_us - lead_us - horizon_us, length) end
  calls = #slots
end

local want = is_batch and math.min(batch_items, most) or math.min(calls, most)
local found = take(want, in_flight == 0, lengths)
if #found.lapsed > 0 then met_before().lapse(found.lapsed) end
if found.stale > 0 then rc('HINCRBY', K.meta, 'stale', -found.stale) end
local taken = #found.ulids
if taken > 0 then
  lease(found, slots)
  local used = is_batch and 1 or taken
  if period_us > 0 and granted < 0 then limit_take(tats, used) end
  calls_count(used)
end
flush()
length = length - found.walked
if in_doubt then length = length + #found.lapsed end
if taken > 0 then return answer(0, 0, length, found) end
if found.blocked then return answer(4, -1, length) end
if in_doubt and #found.lapsed > 0 then return answer(8, DOUBT_WAIT_US, length) end
return answer(7, 0, length)
