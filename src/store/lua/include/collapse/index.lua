-- include: waiting finish collapse/record
-- Which messages of a collapse key are not final (docs/collapse.md).
--
--   collapse   hash, hash of a key 16 → ULID of the first message 26 and, where a newer one waits until that is decided, its ULID 26
--
-- The first message waits, is leased or is uncertain. The newer one is there only while the first is leased or uncertain: it
-- stands in `due` at NEVER_MS, so that nothing promotes it, and its state has its own due time. An entry whose message is gone
-- or final is as good as none, and the audit removes it.
local COLLAPSE_NEVER_MS = RUST.NEVER_MS
local SUPERSEDED_REASON = 'superseded'

-- The hash in the optional fields of a state; nil: it has none.
local function collapse_hash(s)
  if s.fields == '' or string.byte(s.fields) % 2 == 0 then return nil end
  return string.sub(s.fields, 4, 3 + COLLAPSE_HASH_BYTES)
end

local function collapse_read(hash)
  local entry = rc('HGET', K.collapse, hash)
  if not entry then return nil, nil end
  return string.sub(entry, 1, 26), #entry > 26 and string.sub(entry, 27) or nil
end

-- first nil: none is left.
local function collapse_write(hash, first, newer)
  if first then return rc('HSET', K.collapse, hash, first .. (newer or '')) end
  rc('HDEL', K.collapse, hash)
end

-- State and record of a message that waits or is on its way; nil: there is none.
local function collapse_living(ulid)
  if not ulid then return nil end
  local records, states = load({ ulid })
  local s = states[1]
  if not s or (s.state ~= 'w' and s.state ~= 'L' and s.state ~= 'U') then return nil end
  -- A node that knew nothing of collapse keys wrote its state.
  if s.fields == '' and collapse_at(records[1]) then s.fields = collapse_fields(records[1]) end
  return s, records[1]
end

-- An attempt at it has begun that was not given back.
local function collapse_has_begun(s) return s.attempts > 0 or s.throttles > 0 end

-- It waits until the one before it is decided.
local function collapse_is_held(ulid, s)
  return s.state == 'w' and tonumber(rc('ZSCORE', K.due, entry_of(ulid, s)) or 0) == COLLAPSE_NEVER_MS
end

-- A newer message waits for the one before it no longer. due_ms: it gets that one's place; nil: it has its own.
local function collapse_free(ulid, due_ms)
  local s = collapse_living(ulid)
  if not s or not collapse_is_held(ulid, s) then return end
  rc('ZREM', K.due, entry_of(ulid, s))
  if due_ms then
    s.due = due_ms
    state_save(ulid, s)
  end
  enter_waiting(ulid, s)
  flush()
  publish('wake', ' 3')
end

-- The older one is cancelled. It has no callback: the newer one, which goes on in its place, has its own.
local function collapse_cancel(ulid, s, record, keep_ms)
  local is_read, words = pcall(cjson.decode, s.tail)
  if not is_read or type(words) ~= 'table' then words = {} end
  words.r = SUPERSEDED_REASON
  s.state, s.flags, s.tail = 'C', s.flags % 16, cjson.encode(words)
  finish(ulid, s, record, keep_ms)
  flush()
end

-- A message waits again, with s.due, and stands nowhere yet. Where there is a newer one of its key, it is cancelled, and one
-- that waits for it gets its due time. Whether it was cancelled.
local function collapse_again(ulid, s, record, keep_ms)
  local hash = collapse_hash(s)
  if not hash then return false end
  local first, newer = collapse_read(hash)
  if first == ulid and not newer then return false end
  local other = first ~= ulid and collapse_living(first)
  if not other and not collapse_living(newer) then
    collapse_write(hash, ulid)
    return false
  end
  local due_ms = s.due
  collapse_cancel(ulid, s, record, keep_ms)
  if not other then
    collapse_write(hash, newer)
    collapse_free(newer, due_ms)
  end
  return true
end

-- A message has ended, or its downstream has it: the newer one that waits for it goes on, at its own due time.
local function collapse_ends(ulid, s)
  local hash = collapse_hash(s)
  if not hash then return end
  local first, newer = collapse_read(hash)
  if first == ulid then
    collapse_write(hash, newer)
    if newer then collapse_free(newer) end
  elseif newer == ulid then
    collapse_write(hash, first)
  end
end

-- A message that was accepted is uncertain now: a newer one waits for the decision, if there is none yet.
local function collapse_doubted(ulid, s)
  local hash = collapse_hash(s)
  if hash and not collapse_living((collapse_read(hash))) then collapse_write(hash, ulid) end
end

-- Whether a newer message of its key waits or is on its way.
local function collapse_has_newer(ulid, s)
  local hash = collapse_hash(s)
  if not hash then return false end
  local first, newer = collapse_read(hash)
  return (first ~= ulid and collapse_living(first) ~= nil) or collapse_living(newer) ~= nil
end

-- Looks at the entry of a key, which a node that knows nothing of collapse keys may have left as it was. Whether it is not as it
-- should be (it is then, if `writes`), and whether an older message was cancelled.
local function collapse_review(hash, writes, keep_ms)
  local first, newer = collapse_read(hash)
  if not first then return false, false end
  local s, record = collapse_living(first)
  if s and collapse_hash(s) ~= hash then s = nil end
  local newer_s = collapse_living(newer)
  local is_right = s and (not newer or (newer_s and s.state ~= 'w' and collapse_is_held(newer, newer_s)))
  if is_right or not writes then return not is_right, false end
  if not s or (newer_s and newer_s.state ~= 'w') then
    collapse_write(hash, newer_s and newer or nil)
    if newer_s then collapse_free(newer) end
  elseif not newer_s then
    collapse_write(hash, first)
  elseif s.state == 'w' then
    local due_ms = s.due
    leave_waiting(first, s)
    flush()
    collapse_cancel(first, s, record, keep_ms)
    collapse_write(hash, newer)
    collapse_free(newer, due_ms)
    flush()
    return true, true
  else
    leave_waiting(newer, newer_s)
    flush()
    epoch_next(newer_s)
    state_save(newer, newer_s)
    if newer_s.expires > 0 then gather('ZADD', K.expiry, newer_s.expires, newer) end
    gather('ZADD', K.due, COLLAPSE_NEVER_MS, entry_of(newer, newer_s))
    flush()
  end
  return true, false
end
