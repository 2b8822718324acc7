#!lua flags=no-writes
-- audit_lanes: a page of one structure of the lanes, and what of it disagrees with the other ones.
-- include: lanes/index
--
-- args: what cursor most:number
-- what: heads, open, parked, rest, waits, lent, turns, held, flight, held_keys or backlog. cursor: '0' at first. most: about how many members.
-- returns: next_cursor looked:number (code:number member)...
-- next_cursor: '0' after the last page. Codes and members as mend_lanes takes them.
--
-- All that is compared of a lane, a blocker, a flow or a lease is read in this call, so that what is told is certain. Nothing is told
-- while messages move over to another structure, since lanes of the structure before stand nowhere.
local reply = REPLY { next_cursor = '0', looked = 0 }
local function look_at_backlog()
  -- include: lanes/backlog
  if not structure.counts then return '0', 0 end
  if cursor == '0' and sums_differ() then REPLY_ROW { code = RUST.FAULT_BACKLOG, member = '' } end
  local page, ulids = rc('HSCAN', K.backlog, cursor, 'COUNT', most), {}
  for i = 1, #page[2], 2 do ulids[#ulids + 1] = page[2][i] end
  local records, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    if is_counted_wrongly(ulid, records[i], states[i]) then REPLY_ROW { code = RUST.FAULT_BACKLOG, member = ulid } end
  end
  return page[1], #ulids
end
if what == 'backlog' then
  reply[REPLY.next_cursor], reply[REPLY.looked] = look_at_backlog()
  return reply
end
if not is_laned or structure_before then return reply end

local function look()
  -- include: lanes/sound
  local function find(code, member)
    REPLY_ROW { code = code, member = member }
  end

  -- Each name once in a page.
  local seen = {}
  local function find_if(is_wrong, code, name)
    if seen[code .. name] then return end
    seen[code .. name] = true
    if is_wrong(name) then find(code, digits_of(name)) end
  end

  local function scan(command, key, from, visit)
    local page = rc(command, key, from, 'COUNT', most)
    for i = 1, #page[2], 2 do visit(page[2][i], page[2][i + 1]) end
    return page[1], #page[2] / 2
  end

  -- A page of a sorted set of equal scores, behind the member that the cursor names.
  local function members(key, visit)
    local from = cursor == '0' and '-' or '(' .. member_of_digits(cursor)
    local found = rc('ZRANGE', key, from, '+', 'BYLEX', 'LIMIT', 0, most)
    for _, member in ipairs(found) do visit(member) end
    return #found == most and digits_of(found[#found]) or '0', #found
  end

  local function look_at_lane(lane, raw)
    if lane_is_wrong(lane) then return find(LANE, digits_of(lane)) end
    if lane_is_stuck(lane) then
      local ulid = string.sub(raw, -26)
      return find(BUSY, (ulid == NO_ULID and '' or ulid .. ' ') .. digits_of(lane))
    end
    local h = head_unpack(raw)
    local may_lack = h.state == 'b' and rc('HEXISTS', K.held, h.ulid) == 0
    if may_lack and held_is_wrong(h.ulid) then find(HELD, h.ulid) end
  end

  local function stray(name, member)
    if not is_stray(name, member) then return false end
    find(STRAY, (name == 'rest' and #member == 44 and string.sub(member, 19) .. ' ' or '') .. name .. ' ' .. digits_of(member))
    return true
  end

  local LOOK = {
    heads = function() return scan('HSCAN', K.heads, cursor, look_at_lane) end,
    open = function()
      return members(K.open, function(member)
        if not stray('open', member) then find_if(flow_is_wrong, TURN, string.sub(member, 2, 9)) end
      end)
    end,
    parked = function()
      return members(K.parked, function(member)
        if not stray('parked', member) then find_if(blocker_is_wrong, BLOCKER, string.sub(member, 1, 9)) end
      end)
    end,
    rest = function() return members(K.rest, function(member) stray('rest', member) end) end,
    waits = function()
      -- What holds lanes was met with them.
      return scan('ZSCAN', K.waits, cursor, function(blocker) find_if(blocker_is_wrong, BLOCKER, blocker) end)
    end,
    lent = function()
      return scan('HSCAN', K.lent, cursor, function(blocker) find_if(lent_is_wrong, LENT, blocker) end)
    end,
    turns = function()
      local level, from = string.match(cursor, '^(%d):(%d+)$')
      level = tonumber(level or 0)
      local next_from, looked = scan('ZSCAN', TURNS[level], from or 0, function(flow) find_if(flow_is_wrong, TURN, flow) end)
      if next_from ~= '0' then return level .. ':' .. next_from, looked end
      return level < 9 and level + 1 .. ':0' or '0', looked
    end,
    held = function()
      return scan('HSCAN', K.held, cursor, function(ulid)
        if held_is_wrong(ulid) then find(HELD, ulid) end
      end)
    end,
    flight = function()
      local calls = calls_by_leases()
      if not calls then return '0', 0 end
      local function compare(blocker, count)
        if tonumber(count or 0) ~= (calls[blocker] or 0) then find(FLIGHT, digits_of(blocker)) end
      end
      if cursor == '0' then
        for blocker in pairs(calls) do
          if rc('HEXISTS', K.flight, blocker) == 0 then compare(blocker) end
        end
      end
      return scan('HSCAN', K.flight, cursor, compare)
    end,
    held_keys = function()
      local counts = blockers_counted()
      for _, limit in ipairs(counts and structure.limits or {}) do
        local id = string.byte(limit.id)
        if tonumber(rc('HGET', K.meta, 'held:' .. id) or 0) ~= (counts[id] or 0) then find(HELD_KEYS, limit.name) end
      end
      return '0', 0
    end,
  }
  return LOOK[what]()
end
reply[REPLY.next_cursor], reply[REPLY.looked] = look()
return reply
