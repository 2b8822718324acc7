#!lua flags=no-writes
-- position: how many messages stand before one that waits, in its line, and which messages hold it up.
-- include: ready wake state
--
-- args: ulid
-- returns: ahead:number of_key:flag at_least:flag turn leased lane
-- ahead: -1: it does not wait. of_key: its line is that of its key, else that of the shard. at_least: more than `ahead` stand before
-- it. turn: the ULID of the message whose key has the turn in the fair shares, where that is another key, else ''. leased: the ULIDs of
-- at most ten messages that are on their way, with a space between two.
-- lane: that of the message, 8 bytes, or ''.
-- Messages that are due in the same millisecond stand next to one another, whole requests of them.
local LEASED_MAX, BEFORE_MAX, BEHIND_MAX, STEPS_MAX = 10, 100, 2000, 64
local _, states = load({ ulid })
local s = states[1]
local entry = s and entry_of(ulid, s)
local rank = s and s.state == 'w' and rc('ZRANK', K.due, entry)

-- The due time of the first entry, from this index of a list on, that stands for a message.
local function due_from(list, index)
  for _, found in ipairs(rc('LRANGE', list, index, index + 9)) do
    if entry_is_current(found) then
      local _, of_entry = load({ string.sub(found, 1, 26) })
      if of_entry[1] then return of_entry[1].due end
    end
  end
end

-- Where a message stands in its list: the lists go roughly by due times, so the first entry that is due as late is found by halving,
-- and the entry itself next to it.
local function index_in(list)
  local low, high, steps = 0, rc('LLEN', list), 0
  while low < high and steps < STEPS_MAX do
    local middle = math.floor((low + high) / 2)
    local due = due_from(list, middle)
    if due and due < s.due then low = middle + 1 else high = middle end
    steps = steps + 1
  end
  local from = math.max(0, low - BEFORE_MAX)
  for i, found in ipairs(rc('LRANGE', list, from, low + BEHIND_MAX)) do
    if found == entry then return from + i - 1, true end
  end
  return low, false
end

local stale = tonumber(rc('HGET', K.meta, 'stale') or 0)
local length, lengths = ready_length()

-- Higher bands go first. Entries that stand for no message any more are taken off: some of them may stand behind.
local function ahead_in_lists()
  local index, is_found = index_in(READY[s.band] or READY[0])
  for band = s.band + 1, 9 do index = index + lengths[band] end
  return math.max(0, index - stale), not is_found or (stale > 0 and index > stale)
end

local ahead, is_of_key, is_at_least, turn, lane = -1, false, false, '', ''
if rank then
  ahead = math.max(0, length - stale) + rank
elseif s and s.state == 'w' then
  ahead, is_at_least = ahead_in_lists()
end
-- keyed include: lanes/position
-- keyed: if s and s.state == 'w' and not rank and is_laned then
-- keyed:   local in_lane, of_turn, of_message = position_in_lane(ulid, s)
-- keyed:   if in_lane then ahead, is_of_key, is_at_least, turn, lane = in_lane, true, false, of_turn, of_message end
-- keyed: end
return REPLY {
  ahead = ahead, of_key = is_of_key, at_least = is_at_least, turn = turn,
  leased = table.concat(rc('ZRANGE', K.leased, 0, LEASED_MAX - 1), ' '), lane = lane,
}
