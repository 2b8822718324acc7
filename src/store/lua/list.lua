#!lua flags=no-writes
-- list: a page of the ulids in one state.
-- include: ready wake page state
--
-- args: what most:number cursor
-- what: the state. cursor: '' for the first page, else as returned.
-- returns: next_cursor ulid...
-- next_cursor: '' after the last page.
--
-- Zsets go by (score, member), so a page is stable while others come and go; ready lists go by
-- position, so a moving list may show an entry twice or skip one.
local function page_of_ready()
  local band, from = 9, 0
  if cursor ~= '' then
    local b, f = string.match(cursor, '^(%d):(%d+)$')
    -- The cursor of another state starts from the beginning.
    band, from = tonumber(b or 9), tonumber(f or 0)
  end
  local reply = REPLY { next_cursor = '' }
  while band >= 0 do
    local entries = rc('LRANGE', READY[band], from, from + most - 1)
    for _, entry in ipairs(entries) do
      if entry_is_current(entry) then reply[#reply + 1] = string.sub(entry, 1, 26) end
    end
    from = from + #entries
    if #entries == most or #reply > 1 then
      reply[REPLY.next_cursor] = band .. ':' .. from
      return reply
    end
    band, from = band - 1, 0
  end
  return reply
end

-- keyed include: lanes/pages
-- Of a queue with keys the lanes come first, in no order, and then what has not come into them yet.
local function page_of_ready_anywhere()
  -- keyed: local lanes_cursor = string.match(cursor, '^10:([rh]%x*)$')
  -- keyed: if cursor == '' or lanes_cursor then
  -- keyed:   local ulids, next_cursor = page_of_lanes(most, lanes_cursor or '')
  -- keyed:   if #ulids > 0 or next_cursor then return { next_cursor and '10:' .. next_cursor or '9:0', unpack(ulids) } end
  -- keyed: end
  return page_of_ready()
end

if what == 'ready' then return page_of_ready_anywhere() end
local found, next_cursor = page_of_zset(what == 'scheduled' and K.due or K[what], most, cursor)
local reply = REPLY { next_cursor = next_cursor }
for i = 1, #found, 2 do reply[#reply + 1] = string.sub(found[i], 1, 26) end
return reply
