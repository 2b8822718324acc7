#!lua flags=no-writes
-- audit: a page of one structure, and what of it disagrees with the records.
-- include: state ready weight place
-- keyed include: lanes/standing
--
-- args: what cursor most:number
-- what: records, states, history, ready, or a sorted set. cursor: '0' at first. most: about how many members.
-- returns: next_cursor looked:number weight:number (code:number member)...
-- next_cursor: '0' after the last page. weight: of an index of final messages what these weigh as far as they are
-- weighed. Codes as place, and 0: of records an entry that must stand in a ready list if all is well, of ready an
-- entry that stands there.
--
-- What a single call can tell is told for certain. Ready lists have no index, so that the caller
-- compares: they are walked from the tail, where a position holds while heads are taken, and all
-- that stands there during the whole walk is met.
local SEEN = 0
local reply = REPLY { next_cursor = '0', looked = 0, weight = 0 }

local function find(code, member)
  REPLY_ROW { code = code, member = member }
end

-- The members of a scanned page, and what came with each.
local function pairs_of(page)
  local members, values = {}, {}
  for i = 1, #page, 2 do members[#members + 1], values[#values + 1] = page[i], page[i + 1] end
  return members, values
end

local function audit_place(ulid, s)
  -- keyed: if is_not_counted(ulid, s) then find(BACKLOG, ulid) end
  if lacks_collapse_entry(s) then find(UNPLACED, ulid) end
  if s.state ~= 'w' then
    if not rc('ZSCORE', PLACE[s.state], ulid) then find(UNPLACED, ulid) end
    return
  end
  local entry = entry_of(ulid, s)
  local is_placed = rc('ZSCORE', K.due, entry)
  -- keyed: is_placed = is_placed or stands_in_lane(ulid, s)
  if not is_placed then find(SEEN, entry) end
  if s.expires > 0 and tonumber(rc('ZSCORE', K.expiry, ulid) or 0) ~= s.expires then
    find(EXPIRY, ulid)
  end
end

local function audit_records()
  local page = rc('HSCAN', K.records, cursor, 'COUNT', most)
  local ulids, records = pairs_of(page[2])
  local states, raws = load_states(ulids)
  local largest, largest_is = tonumber(rc('HGET', K.meta, 'largest') or 0)
  for i, ulid in ipairs(ulids) do
    local record, s = records[i], states[i]
    if #record > largest then largest, largest_is = #record, ulid end
    if not record_is_readable(record) or (raws[i] and not s) then
      find(UNREADABLE, ulid)
    else
      audit_place(ulid, s or state_of_record(record))
    end
  end
  if largest_is then find(LARGEST, largest_is) end
  return page[1], #ulids
end

-- State entries and past attempts belong to a record.
local function audit_beside(key)
  local page = rc('HSCAN', key, cursor, 'COUNT', most)
  local ulids = pairs_of(page[2])
  for _, ulid in ipairs(ulids) do
    if rc('HEXISTS', K.records, ulid) == 0 then find(LEFTOVER, ulid) end
  end
  return page[1], #ulids
end

local function audit_zset(name)
  local page = rc('ZSCAN', K[what], cursor, 'COUNT', most)
  local members, scores = pairs_of(page[2])
  local ulids = {}
  for i, member in ipairs(members) do ulids[i] = string.sub(member, 1, 26) end
  local records, states = load(ulids)
  for i, member in ipairs(members) do
    if not stands(name, member, tonumber(scores[i]), states[i], records[i]) then
      find(MISPLACED, member)
    elseif states[i] and FINAL[states[i].state] and is_weighed(states[i]) then
      reply[REPLY.weight] = reply[REPLY.weight] + weight(member)
    end
  end
  return page[1], #members
end

-- '<band>:<entries behind it>', from the highest band down.
local function audit_ready()
  local band, from = string.match(cursor, '^(%d):(%d+)$')
  band, from = tonumber(band or 9), tonumber(from or 0)
  while band >= 0 do
    local entries = rc('LRANGE', READY[band], -(from + most), -(from + 1))
    for i = #entries, 1, -1 do find(SEEN, entries[i]) end
    if #entries > 0 then return string.format('%d:%d', band, from + #entries), #entries end
    band, from = band - 1, 0
  end
  return '0', 0
end

-- References and kept receipts, and when they are looked at.
local function audit_receipts()
  local page = rc(what == 'looks' and 'ZSCAN' or 'HSCAN', K[what], cursor, 'COUNT', most)
  local members = pairs_of(page[2])
  for _, member in ipairs(members) do
    if what == 'looks' then
      if not is_looked_for(member) then find(MISPLACED, member) end
    elseif not rc('ZSCORE', K.looks, LOOKED_AT[what] .. member) then
      find(UNPLACED, member)
    end
  end
  return page[1], #members
end

-- The index of collapse keys; its fields are bytes, and are named by their digits.
local function audit_collapse()
  -- include: collapse/index
  local page = rc('HSCAN', K.collapse, cursor, 'COUNT', most)
  local hashes = pairs_of(page[2])
  for _, hash in ipairs(hashes) do
    if collapse_review(hash, false) then
      find(MISPLACED, (string.gsub(hash, '.', function(c) return string.format('%02x', string.byte(c)) end)))
    end
  end
  return page[1], #hashes
end

if what == 'records' then
  reply[1], reply[2] = audit_records()
elseif what == 'collapse' then
  reply[1], reply[2] = audit_collapse()
elseif what == 'ready' then
  reply[1], reply[2] = audit_ready()
elseif what == 'looks' or LOOKED_AT[what] then
  reply[1], reply[2] = audit_receipts()
elseif what == 'states' or what == 'history' then
  reply[1], reply[2] = audit_beside(K[what])
else
  reply[1], reply[2] = audit_zset(what)
end
return reply
