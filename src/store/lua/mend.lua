#!lua flags=allow-oom
-- mend: indexes follow their records again, each where what was found still holds.
-- include: clock waiting weight place
-- keyed include: lanes/standing
--
-- args: earliest_us:number latest_us:number writes:flag lease_ms:number dead_keep_ms:number keep_ms:number
-- args: (code:number structure member)...
-- earliest_us, latest_us: this call is expected between them. writes: mend, else only tell
-- what still holds. keep_ms: of final messages that are not dead. Codes as place; structure: '' for some.
-- returns: is_in_doubt:flag now_us:number [wake:number] holds:flag...
-- is_in_doubt: the clock is, and nothing was done. holds: it does (and is mended), else it does not (any more),
-- or nobody can tell.
--
-- Safe to repeat: what is mended is right, and no longer found. Records are never written.
local LOOK_MAX, LOOK_FAR_MAX = 5000, 100000
local TOMBSTONE = '~~'
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
local keep_ms_of = { X = dead_keep_ms, D = keep_ms, E = keep_ms, C = keep_ms }
local head, ready_before = due_head(), ready_length()
local due_first, ready_added

local function state_for(ulid)
  local records, states = load({ ulid })
  return states[1], records[1]
end

-- A lease without a deadline gets one, so that the reaper brings it back; a final state without a
-- purge time the one that it would have had.
local function score_for(s)
  if s.state == 'L' then return now_ms + lease_ms end
  if FINAL[s.state] then return s.final + keep_ms_of[s.state] end
  return now_ms
end

-- Every band's list is searched from both ends, as far as one call may look: what came or went of
-- late stands there.
local function is_near_an_end(list, entry)
  return rc('LPOS', list, entry, 'MAXLEN', LOOK_MAX)
    or rc('LPOS', list, entry, 'RANK', -1, 'MAXLEN', LOOK_MAX)
end

-- A waiting message that stands nowhere waits again, under a new epoch: should its entry turn up
-- after all, it is stale. It was walked for in vain (see audit); an entry stays what it is as long as
-- its epoch does, so that it is not there now if it was not there then.
local function wait_again(entry)
  local ulid = string.sub(entry, 1, 26)
  local s = state_for(ulid)
  if not s or s.state ~= 'w' or entry_of(ulid, s) ~= entry then return false end
  if rc('ZSCORE', K.due, entry) or is_near_an_end(READY[s.band], entry) then return false end
  -- keyed: if stands_in_lane(ulid, s) then return false end
  if not writes then return true end
  epoch_next(s)
  if enter_waiting(ulid, s) == WAKE_READY then ready_added = true
  elseif not due_first or s.due < due_first then due_first = s.due end
  state_save(ulid, s)
  return true
end

local function place(ulid)
  local s = state_for(ulid)
  if s and lacks_collapse_entry(s) then
    if writes then rc('HSET', K.collapse, string.sub(s.fields, 4, 19), ulid) end
    return true
  end
  local key = s and PLACE[s.state]
  if not key or rc('ZSCORE', key, ulid) then return false end
  gather('ZADD', key, score_for(s), ulid)
  return true
end

local function displace(name, member)
  local key, ulid = K[name], string.sub(member, 1, 26)
  local score = tonumber(rc('ZSCORE', key, member) or nil)
  local s, record = state_for(ulid)
  if not score or stands(name, member, score, s, record) then return false end
  local due_ms = name == 'due' and s and due_score(ulid, s)
  if due_ms and stands(name, member, due_ms, s, record) then
    gather('ZADD', key, due_ms, member)
    if due_ms == s.due and (not due_first or s.due < due_first) then due_first = s.due end
  else
    gather('ZREM', key, member)
  end
  return true
end

local function sweep(ulid)
  if rc('HEXISTS', K.records, ulid) == 1 then return false end
  gather('HDEL', K.states, ulid)
  gather('HDEL', K.history, ulid)
  return true
end

local function set_expiry(ulid)
  local s = state_for(ulid)
  if not s or s.state ~= 'w' or s.expires == 0 then return false end
  if tonumber(rc('ZSCORE', K.expiry, ulid) or 0) == s.expires then return false end
  gather('ZADD', K.expiry, s.expires, ulid)
  return true
end

local function set_largest(ulid)
  local bytes = rc('HSTRLEN', K.records, ulid)
  if bytes <= tonumber(rc('HGET', K.meta, 'largest') or 0) then return false end
  if writes then record_largest(bytes) end
  return true
end

-- The later of two equal entries becomes one that is nobody's; claim skips it as stale.
local function strike(entry)
  local list = READY[tonumber(string.sub(entry, 27, 27))]
  if not list or #entry ~= 29 then return false end
  local first = rc('LPOS', list, entry, 'MAXLEN', LOOK_FAR_MAX)
  local ends = rc('LPOS', list, entry, 'RANK', -1, 'COUNT', 2, 'MAXLEN', LOOK_FAR_MAX)
  local last = ends[1] or (rc('LPOS', list, entry, 'COUNT', 2, 'MAXLEN', LOOK_FAR_MAX))[2]
  if not last or last == (first or ends[2] or last) then return false end
  if writes then rc('LSET', list, last, string.sub(entry, 1, 27) .. TOMBSTONE) end
  return true
end

-- Only where every other index is right does the difference lie in the counter.
local function set_stale()
  local ready, length = ready_by_records(), ready_length()
  local stale = length - ready
  if stale < 0 or ready < 0 or stale == tonumber(rc('HGET', K.meta, 'stale') or 0) then return false end
  if writes then rc('HSET', K.meta, 'stale', stale) end
  return true
end

-- Looked at now: whatever its time is over for goes then.
local function look_at(name, member)
  local field = LOOKED_AT[name] .. member
  if rc('HEXISTS', K[name], member) == 0 or rc('ZSCORE', K.looks, field) then return false end
  gather('ZADD', K.looks, now_ms, field)
  return true
end

local function look_away(member)
  if not rc('ZSCORE', K.looks, member) or is_looked_for(member) then return false end
  gather('ZREM', K.looks, member)
  return true
end

-- All are weighed anew, by the next prunes. What a sum should be no single call can tell.
local function weigh_anew()
  if weighing() == 0 then return false end
  if writes then weigh_begin() end
  return true
end

-- The index of collapse keys, of a key by its digits.
local function review_collapse(digits)
  -- include: collapse/index
  local hash = string.gsub(digits, '%x%x', function(pair) return string.char(tonumber(pair, 16)) end)
  return (collapse_review(hash, writes, keep_ms))
end

local MEND = {
  [UNPLACED] = function(name, member)
    if LOOKED_AT[name] then return look_at(name, member) end
    if #member > 26 then return wait_again(member) end
    return place(member)
  end,
  [MISPLACED] = function(name, member)
    if name == 'looks' then return look_away(member) end
    if name == 'collapse' then return review_collapse(member) end
    return displace(name, member)
  end,
  [LEFTOVER] = function(_, member) return sweep(member) end,
  [EXPIRY] = function(_, member) return set_expiry(member) end,
  [LARGEST] = function(_, member) return set_largest(member) end,
  [DUPLICATE] = function(_, member) return strike(member) end,
  [COUNT] = set_stale,
  [WEIGHT] = weigh_anew,
}

-- keyed: MEND[BACKLOG] = function(_, ulid) local s = state_for(ulid) if not s or not is_not_counted(ulid, s) then return false end touched[ulid] = { s.state } return true end
local reply, met = REPLY { is_in_doubt = false, now_us = now_us, wake = 0 }, {}
for i = 1, ROWS do
  local code, name, member = ROW[i].code, ROW[i].structure, ROW[i].member
  local finding = code .. name .. member
  -- A page may show a member twice; an entry may stand in its list three times.
  local is_new = not met[finding] or code == DUPLICATE
  local holds = is_new and MEND[code] and MEND[code](name, member)
  met[finding] = true
  REPLY_ROW { holds = holds }
end
if writes then
  flush()
  reply[REPLY.wake] = wake(head, due_first, ready_before, ready_added)
end
return reply
