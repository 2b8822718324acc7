-- include: state
-- Where a message must stand by its record, asked by audit and once more by mend.
local PLACE = {
  L = K.leased, U = K.uncertain, A = K.accepted,
  D = K.delivered, X = K.dead, E = K.expired, C = K.cancelled,
}
-- What can be wrong (see store/audit/fault.rs).
local UNPLACED, MISPLACED, LEFTOVER = RUST.FAULT_UNPLACED, RUST.FAULT_MISPLACED, RUST.FAULT_LEFTOVER
local EXPIRY, LARGEST, UNREADABLE = RUST.FAULT_EXPIRY, RUST.FAULT_LARGEST, RUST.FAULT_UNREADABLE
local DUPLICATE, COUNT, WEIGHT = RUST.FAULT_DUPLICATE, RUST.FAULT_COUNT, RUST.FAULT_WEIGHT

-- Where a waiting message stands in `due`: by its due time, or, while the one before it of its collapse key is decided, never.
local function due_score(ulid, s)
  local entry = s.fields ~= '' and rc('HGET', K.collapse, string.sub(s.fields, 4, 19))
  if not entry or string.sub(entry, 27) ~= ulid then return s.due end
  local older = load_states({ string.sub(entry, 1, 26) })[1]
  return older and (older.state == 'L' or older.state == 'U') and RUST.NEVER_MS or s.due
end

-- Whether a message that is sent still has a collapse key that the index does not know. One that was accepted and is uncertain
-- now may have no entry: a newer one was on its way by then.
local function lacks_collapse_entry(s)
  return s.fields ~= '' and (s.state == 'w' or s.state == 'L')
    and rc('HEXISTS', K.collapse, string.sub(s.fields, 4, 19)) == 0
end

-- Whether a member of a sorted set stands there by right. A message that cannot be read may stand
-- anywhere: nobody knows better.
local function stands(name, member, score, s, record)
  if record and not s then return true end
  if not s then return false end
  if name == 'due' then
    return s.state == 'w' and entry_of(string.sub(member, 1, 26), s) == member and due_score(string.sub(member, 1, 26), s) == score
  end
  -- Its moment is looked at from the record's side.
  if name == 'expiry' then return s.state == 'w' and s.expires > 0 end
  if name == 'probes' then return s.state == 'U' end
  return PLACE[s.state] == K[name]
end

-- What is kept of receipts is found again only by the moment at which it is looked at.
local LOOKED_AT = { refs = 'r', early = 'e' }

local function is_looked_for(member)
  local kept = string.sub(member, 1, 1) == 'r' and K.refs or K.early
  return rc('HEXISTS', kept, string.sub(member, 2)) == 1
end

-- How many messages are ready if every index but the stale counter is right.
local function ready_by_records()
  local others = rc('ZCARD', K.due)
  for _, key in pairs(PLACE) do others = others + rc('ZCARD', key) end
  return rc('HLEN', K.records) - others
end
