#!lua flags=no-writes
-- list: a page of the ulids in one state.
-- include: shard writes record packed state ready wake page
--
-- ARGV[1] state   ARGV[2] most   ARGV[3] cursor ('' first page; else as returned)
-- Returns {next cursor or '', ulid, ...}
--
-- Zsets go by (score, member), so a page is stable while others come and go; ready lists go by
-- position, so a moving list may show an entry twice or skip one.
local what, most, cursor = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function page_of_ready()
  local band, from = 9, 0
  if cursor ~= '' then
    local b, f = string.match(cursor, '^(%d):(%d+)$')
    -- The cursor of another state starts from the beginning.
    band, from = tonumber(b or 9), tonumber(f or 0)
  end
  local reply = { '' }
  while band >= 0 do
    local entries = rc('LRANGE', READY[band], from, from + most - 1)
    for _, entry in ipairs(entries) do
      if entry_is_current(entry) then reply[#reply + 1] = string.sub(entry, 1, 26) end
    end
    from = from + #entries
    if #entries == most or #reply > 1 then
      reply[1] = band .. ':' .. from
      return reply
    end
    band, from = band - 1, 0
  end
  return reply
end

if what == 'ready' then return page_of_ready() end
local found, next_cursor = page_of_zset(what == 'scheduled' and K.due or K[what], most, cursor)
local reply = { next_cursor }
for i = 1, #found, 2 do reply[#reply + 1] = string.sub(found[i], 1, 26) end
return reply
