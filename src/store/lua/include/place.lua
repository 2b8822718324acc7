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

-- Whether a member of a sorted set stands there by right. A message that cannot be read may stand
-- anywhere: nobody knows better.
local function stands(name, member, score, s, record)
  if record and not s then return true end
  if not s then return false end
  if name == 'due' then
    return s.state == 'w' and entry_of(string.sub(member, 1, 26), s) == member and s.due == score
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
