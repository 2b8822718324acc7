#!lua flags=no-writes
-- walk: a page of the messages in one state, without their bodies, for an operation that goes through all.
-- include: shard writes record packed state ready page
--
-- ARGV[1] state   ARGV[2] most   ARGV[3] cursor ('' first page; else as returned)
-- Returns {next cursor or '', then for each message: ulid, record without body, state entry or '', 1 if it
--         stands in due else 0, since when it is uncertain, ms, else 0}
--
-- Who stands there all the while is met: zsets go by (score, member), and ready lists from their tails, as
-- claims and releases happen at the head and what comes in at the tail is told by the entry where the page
-- before ended (met twice if more came in meanwhile than a page holds).
local PAGE_BYTES_MAX = 1048576
local what, cursor = ARGV[1], ARGV[3]
local largest = math.max(1, tonumber(rc('HGET', K.meta, 'largest') or 1))
local most = math.max(1, math.min(tonumber(ARGV[2]), math.floor(PAGE_BYTES_MAX / largest)))

-- Entries of one band, from `at` places before its tail; an entry that is known is where to go on.
local function band_page(band, at, known)
  local entries = rc('LRANGE', READY[band], -at - most, -at - 1)
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

local entries, scores, next_cursor = {}, {}, ''
if what == 'ready' then
  entries, next_cursor = page_of_ready()
else
  local found
  found, next_cursor = page_of_zset(what == 'scheduled' and K.due or K[what], most, cursor)
  for i = 1, #found, 2 do
    entries[#entries + 1], scores[#scores + 1] = found[i], found[i + 1]
  end
end

local ulids = {}
for i, entry in ipairs(entries) do ulids[i] = string.sub(entry, 1, 26) end
local records, states = load(ulids)
local raws = hmget(K.states, ulids)
local reply = { next_cursor }
for i, ulid in ipairs(ulids) do
  local s = states[i]
  if s and (what ~= 'ready' or entries[i] == entry_of(ulid, s)) then
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = ulid, record_without_body(records[i]), raws[i] or ''
    reply[n + 4] = s.state == 'w' and what == 'scheduled' and 1 or 0
    reply[n + 5] = what == 'uncertain' and scores[i] or 0
  end
end
return reply
