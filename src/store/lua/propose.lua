#!lua flags=allow-oom
-- propose: a node proposes the structure of its configuration, and learns which one is in force: the latest proposal.
-- include: lanes/structure
--
-- args: proposes:flag has_other_values:flag lines rules collapse default_weight:number (flow weight:number)...
-- proposes: else the node only asks. has_other_values: the limits of this node have other values than those it went by. lines: the structure as it stands in meta (see lanes/structure), each limit without its
-- byte; '': the queue has no keys. rules: what other nodes need to know to follow it, as JSON.
-- collapse: WAIT_MS MAX_WAIT_MS of messages with a collapse key, which stands in meta too, or ''. Rows: the weights of the shares, in
-- thousandths, by the hash of the value of their key; default_weight: of all others.
-- returns: now_ms:number number:number lines_in_force rules_in_force collapse_in_force is_switching:flag
-- number: of the structure in force; 0: there has never been one with keys or with times of collapse. is_switching: messages are moving over to it.
--
-- What depends on a structure is dropped at once and built anew by `switch`, and nothing is claimed meanwhile. A second proposal waits
-- until the first is wholly in force: the answer says that it is switching, and has other lines. Safe to repeat: the
-- structure in force is not proposed again.
local DERIVED = {
  K.open, K.parked, K.waits, K.lent, K.tags, K.turns_0, K.turns_1, K.turns_2, K.turns_3, K.turns_4, K.turns_5, K.turns_6,
  K.turns_7, K.turns_8, K.turns_9,
}
local LISTS = {
  K.ready_0, K.ready_1, K.ready_2, K.ready_3, K.ready_4, K.ready_5, K.ready_6, K.ready_7, K.ready_8, K.ready_9,
}
local ID_MAX = 250
local m = rc('HMGET', K.meta, 'structure_number', 'structure', 'structure_lines', 'structure_rules', 'switch', 'limit_ids', 'collapse')
local number, text, in_force = tonumber(m[1] or 0), m[2] or '', m[3] or ''
local is_switching, waits = m[5] ~= false, m[7] or ''

-- Each limit with its byte. A limit that stays keeps its byte, and with it what it has counted; a byte is given to another limit as
-- late as possible.
local function with_ids()
  local known, used, last = {}, {}, tonumber(m[6] or 0)
  for id, kind, per, name in string.gmatch(text, 'limit (%d+) (%l+) (%x+) (%S+)\n') do
    known[kind .. per .. name], used[tonumber(id)] = id, true
  end
  local numbered = string.gsub(lines, 'limit (%l+) (%x+) (%S+)\n', function(kind, per, name)
    local id = known[kind .. per .. name]
    if not id then
      repeat last = last % ID_MAX + 1 until not used[last]
      used[last], id = true, last
    end
    return string.format('limit %s %s %s %s\n', id, kind, per, name)
  end)
  rc('HSET', K.meta, 'limit_ids', last)
  return numbered
end

-- The names of the rates by key whose value is another one than before, each behind a space; '*': all, as nobody can tell.
local function changed_rates()
  local is_known, before = pcall(cjson.decode, m[4] or '')
  local is_read, now = pcall(cjson.decode, rules)
  if not is_known or not is_read or type(before) ~= 'table' or type(now) ~= 'table' then return '*' end
  local known, names = {}, {}
  for _, limit in ipairs(before.limits or {}) do known[limit.name] = (limit.rate or '') .. '/' .. (limit.burst or '') end
  for _, limit in ipairs(now.limits or {}) do
    local value = (limit.rate or '') .. '/' .. (limit.burst or '')
    if known[limit.name] ~= value then names[#names + 1] = ' ' .. limit.name end
  end
  return table.concat(names) .. ' '
end

-- Where what is counted of the backlog is another thing than before, all that is there is counted anew, by the next prunes.
local function count_anew(before)
  local counts = string.match(text, 'backlog .-\n')
  if counts == string.match(before, 'backlog .-\n') then return end
  rc('UNLINK', K.backlog, K.backlog_keys, K.backlog_at)
  rc('HDEL', K.meta, 'backlog_bytes')
  if counts then rc('SET', K.backlog_at, '0') end
end

local function put_in_force()
  local before = text
  text, in_force, number = with_ids(), lines, number + 1
  rc('HSET', K.meta, 'structure', text, 'structure_lines', lines, 'structure_number', number)
  rc('UNLINK', unpack(DERIVED))
  rc('HDEL', K.meta, 'virtual')
  local counts = {}
  for id = 1, ID_MAX do counts[id] = 'held:' .. id end
  rc('HDEL', K.meta, unpack(counts))
  -- Without keys no call gives anything back, and a limit that comes again has another byte.
  if not structure_read(text).has_lanes then rc('UNLINK', K.held, K.flight, K.arrivals, K.used) end
  count_anew(before)
  is_switching = rc('EXISTS', K.heads) == 1 or (lines ~= '' and rc('EXISTS', unpack(LISTS)) > 0)
  if is_switching then rc('HSET', K.meta, 'structure_was', before, 'switch', '0') end
  publish('wake', ' 2')
end

if proposes and lines ~= in_force and not is_switching then put_in_force() end
if proposes and collapse ~= waits then
  -- No message moves, but the other nodes have to learn of it: they ask again where the number is another one.
  waits, number = collapse, number + 1
  if waits == '' then rc('HDEL', K.meta, 'collapse') else rc('HSET', K.meta, 'collapse', waits) end
  rc('HSET', K.meta, 'structure_number', number)
  publish('wake', ' 2')
end
if proposes and lines == in_force and number > 0 then
  if lines ~= '' and (has_other_values or (m[4] and rules ~= m[4])) then
    -- They hold at once for what waits: claims look at it anew.
    rc('HSET', K.meta, 'revalue', 'arrivals:0', 'revalue_rates', changed_rates())
    publish('wake', ' 2')
  end
  rc('HSET', K.meta, 'structure_rules', rules)
  m[4] = rules
  rc('UNLINK', K.weights)
  if ROWS > 0 or default_weight ~= 1000 then rc('HSET', K.weights, '', default_weight) end
  for i = 1, ROWS do rc('HSET', K.weights, ROW[i].flow, ROW[i].weight) end
end
return REPLY {
  now_ms = now_ms, number = number, lines_in_force = in_force, rules_in_force = m[4] or '', collapse_in_force = waits,
  is_switching = is_switching,
}
