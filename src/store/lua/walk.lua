#!lua flags=no-writes
-- walk: a page of the messages in one state, without their bodies, for an operation that goes through all.
-- include: ready page state
--
-- args: what most:number cursor
-- what: the state. cursor: '' for the first page, else as returned.
-- returns: next_cursor (ulid record state is_due:flag uncertain_since_ms:number)...
-- next_cursor: '' after the last page. record: without body. state: '' where there is no entry. is_due: it stands in
-- due. uncertain_since_ms: or 0.
--
-- Who stands there all the while is met: zsets go by (score, member), and ready lists from their tails, as
-- claims and releases happen at the head and what comes in at the tail is told by the entry where the page
-- before ended (met twice if more came in meanwhile than a page holds).
local PAGE_BYTES_MAX = 1048576
local largest = math.max(1, tonumber(rc('HGET', K.meta, 'largest') or 1))
local page_max = math.max(1, math.min(most, math.floor(PAGE_BYTES_MAX / largest)))

-- Entries of one band, from `at` places before its tail; an entry that is known is where to go on.
local function band_page(band, at, known)
  local entries = rc('LRANGE', READY[band], -at - page_max, -at - 1)
  local page = {}
  for i = #entries, 1, -1 do
    page[#page + 1] = entries[i]
    if entries[i] == known then page = {} end
  end
  return page, #entries
end

local function page_of_ready()
  local band, at, known = 9, 0, nil
  if cursor ~= '' then
    local b, a, k = string.match(cursor, '^(%d):(%d+):(.*)$')
    band, at, known = tonumber(b), tonumber(a), k
  end
  while band >= 0 do
    local page, met = band_page(band, at, known)
    if met > 0 then
      return page, string.format('%d:%d:%s', band, at + met, page[#page] or known)
    end
    band, at, known = band - 1, 0, nil
  end
  return {}, ''
end

-- keyed include: lanes/pages
-- Of a queue with keys the lanes come first, and then what has not come into them yet.
-- keyed: local in_lanes
local function page_of_ready_anywhere()
  -- keyed: local lanes_cursor = string.match(cursor, '^lanes:([rh]?%x*)$')
  -- keyed: if cursor == '' or lanes_cursor then
  -- keyed:   local ulids, next_cursor = page_of_lanes(page_max, lanes_cursor or '')
  -- keyed:   in_lanes = true
  -- keyed:   return ulids, next_cursor and 'lanes:' .. next_cursor or '9:0:'
  -- keyed: end
  return page_of_ready()
end

local entries, scores, next_cursor = {}, {}, ''
if what == 'ready' then
  entries, next_cursor = page_of_ready_anywhere()
else
  local found
  found, next_cursor = page_of_zset(what == 'scheduled' and K.due or K[what], page_max, cursor)
  for i = 1, #found, 2 do
    entries[#entries + 1], scores[#scores + 1] = found[i], found[i + 1]
  end
end

local ulids = {}
for i, entry in ipairs(entries) do ulids[i] = string.sub(entry, 1, 26) end
local records, states = load(ulids)
local raws = hmget(K.states, ulids)
local reply = REPLY { next_cursor = next_cursor }
for i, ulid in ipairs(ulids) do
  local s = states[i]
  -- keyed: if in_lanes and s and s.state == 'w' then entries[i] = entry_of(ulid, s) end
  if s and (what ~= 'ready' or entries[i] == entry_of(ulid, s)) then
    REPLY_ROW {
      ulid = ulid,
      record = record_without_body(records[i]),
      state = raws[i] or '',
      is_due = s.state == 'w' and what == 'scheduled',
      uncertain_since_ms = what == 'uncertain' and scores[i] or 0,
    }
  end
end
return reply
