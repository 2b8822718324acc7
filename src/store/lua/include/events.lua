-- include: writes
-- Changes of state, told to whoever listens: an entry of the shard's stream for up to a hundred at once.
--
--   m '<ulid><letter>...'  messages: s scheduled, r ready, else the letters of state
--   q '<word>'             the queue itself: paused, resumed, shut (its gate)
--
-- The stream is there while somebody listens, or did of late (see listen): without it nothing is put
-- together. Its entries carry the moment of their call, so that those of many shards can be put in order.
local CALLS_KEPT, CHANGES_AT_ONCE = 1000, 100
local changes, heard = {}, nil

local function is_heard()
  if heard == nil then heard = rc('EXISTS', K.events) == 1 end
  return heard
end

local function tell_change(ulid, letter)
  if is_heard() then changes[#changes + 1] = ulid .. letter end
end

-- Of many: their ulids, or what begins with these.
local function tell_changes(entries, letter)
  if not is_heard() then return end
  for _, entry in ipairs(entries) do changes[#changes + 1] = string.sub(entry, 1, 26) .. letter end
end

local function tell_queue(word)
  if is_heard() then rc('XADD', K.events, 'MAXLEN', '~', CALLS_KEPT, '*', 'q', word) end
end

-- From here on a flush also tells.
local flush_silently = flush
local function flush()
  flush_silently()
  for from = 1, #changes, CHANGES_AT_ONCE do
    local to = math.min(from + CHANGES_AT_ONCE - 1, #changes)
    rc('XADD', K.events, 'MAXLEN', '~', CALLS_KEPT, '*', 'm', table.concat(changes, '', from, to))
  end
  changes = {}
end
