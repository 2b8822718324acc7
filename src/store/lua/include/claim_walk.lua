-- include: record packed ready claim_hours
-- The walk along the heads of the ready lists, which splits what it meets: taken, expired, stale. A part of claim.
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
  -- include: finish

  -- Becomes leased, whatever has touched it before.
  local function start(ulid, record, s, found)
    found.bytes = found.bytes + #record
    if s.token ~= NO_TOKEN then s.previous = s.token end
    s.state, s.token, s.attempts = 'L', token, math.min(65535, s.attempts + 1)
    s.flags = told_flags(s.flags) + (s.rescues < RESCUES_MAX and 0 or 1)
    if s.first == 0 then s.first, s.paused = now_ms, paused() end
    if s.expires > 0 then gather('ZREM', K.expiry, ulid) end
    local n, state = #found.ulids + 1, state_pack(s)
    found.ulids[n], found.records[n] = ulid, record
    found.states[2 * n - 1], found.states[2 * n] = ulid, state
    for i = #found.headers + 1, n - 1 do found.headers[i] = '' end
    found.headers[n] = claimed_header(state)
  end

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
    local opens_ms = closed_until and closed_until(record)
    if opens_ms then
      found.put_off[#found.put_off + 1] = { ulid = ulid, state = s, opens_ms = opens_ms }
      return true, true
    end
    if s.rescues >= RESCUES_MAX and (#found.ulids > 0 or not alone_possible) then
      -- Lost with its node or worker twice: it goes alone, so that a third loss has no other cause. A worker
      -- that pulls is lost by what its own claim gave it; a node, by everything that it sends.
      found.blocked = true
      return false, false
    end
    if admit and not admit(record, found) then return false, false end
    start(ulid, record, s, found)
    return s.rescues < RESCUES_MAX, true
  end

  local function lapse(lapsed)
    for _, t in ipairs(lapsed) do
      if in_doubt then
        -- Neither sent nor ended: it steps aside for the others.
        ready_tail(entry_of(t.ulid, t.state), t.state.band)
      else
        t.state.state = 'E'
        -- One with a collapse key is met once more by expire, which knows of those.
        local is_plain = t.state.fields == ''
        if t.state.expires > 0 and is_plain then gather('ZREM', K.expiry, t.ulid) end
        finish(t.ulid, t.state, t.record, is_plain and expired_keep_ms or math.max(expired_keep_ms, WAITED_KEEP_MS))
      end
    end
    flush()
  end

  -- Their recipients cannot be reached: due again when they can. No attempt, and nothing is taken for it.
  local function put_off(messages)
    local head = tonumber(rc('ZRANGE', K.due, 0, 0, 'WITHSCORES')[2] or math.huge)
    local first_ms = math.huge
    for _, t in ipairs(messages) do
      local s = t.state
      if in_doubt then
        ready_tail(entry_of(t.ulid, s), s.band)
      else
        s.due, s.holds = t.opens_ms, s.holds + 1
        first_ms = math.min(first_ms, s.due)
        epoch_next(s)
        gather('ZADD', K.due, s.due, entry_of(t.ulid, s))
        tell_change(t.ulid, 's')
        state_save(t.ulid, s)
      end
    end
    flush()
    -- Whoever promotes sleeps until what was due first before.
    if first_ms < head then publish('wake', ' 1') end
  end

  made = { meet = meet, start = start, lapse = lapse, put_off = put_off }
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
    if start and plain_place[start] == string.sub(entry, 27) and not (closed_until and closed_until(record)) then
      if admit and not admit(record, found) then
        found.bytes = found.bytes + bytes
        return at + i - 1, false
      end
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
    ulids = {}, records = {}, states = {}, headers = {}, lapsed = {}, put_off = {}, met = {}, stale = 0, bytes = 0,
    walked = 0, slots = {}, units = 0, blocked = false, first_claim = first_claims(token, paused()),
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
