#!lua flags=allow-oom
-- purge: waiting messages are cancelled, final ones are deleted; bounded, up to the call's own time.
-- include: waiting collapse/steps
--
-- args: what most:number cutoff keep_ms:number cursor
-- what: scheduled, ready, delivered, dead, expired or cancelled. cutoff: scheduled and ready ones created before, as the
-- first ten characters of a ULID; final ones final since this moment or longer, ms. keep_ms: of cancelled messages.
-- cursor: '' for the first call, else as returned: where lanes are gone on with.
-- returns: purged:number has_more:flag next_cursor
-- has_more: there may be.
--
-- Safe to repeat: it goes on where it stopped.
local purged, stale, met, next_cursor = 0, 0, 0, ''

local function ulids_of(entries)
  local ulids = {}
  for i, entry in ipairs(entries) do ulids[i] = string.sub(entry, 1, 26) end
  return ulids
end

local function cancel(ulid, s, record)
  s.state, purged = 'C', purged + 1
  finish(ulid, s, record, keep_ms)
end

local function purge_scheduled()
  local ulids = ulids_of(rc('ZRANGE', K.due, 0, most - 1))
  local records, states = load(ulids)
  met = #ulids
  for i, ulid in ipairs(ulids) do
    if states[i] and states[i].state == 'w' and string.sub(ulid, 1, 10) <= cutoff then
      leave_waiting(ulid, states[i])
      cancel(ulid, states[i], records[i])
    end
  end
end

-- Ready entries are popped, not left behind as stale; those younger than the call keep their place.
local function purge_band(band)
  local entries = rc('LRANGE', READY[band], 0, most - met - 1)
  local ulids = ulids_of(entries)
  local records, states = load(ulids)
  local kept = {}
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    if records[i] and not s then
      table.insert(kept, 1, entries[i])
    elseif not s or s.state ~= 'w' or entry_of(ulid, s) ~= entries[i] then
      stale = stale + 1
    elseif string.sub(ulid, 1, 10) > cutoff then
      table.insert(kept, 1, entries[i])
    else
      if s.expires > 0 then gather('ZREM', K.expiry, ulid) end
      cancel(ulid, s, records[i])
    end
  end
  if #entries > 0 then rc('LPOP', READY[band], #entries) end
  if #kept > 0 then rc('LPUSH', READY[band], unpack(kept)) end
  met = met + #entries
end

-- keyed include: lanes/purge
local function purge_final()
  local ulids = rc('ZRANGE', K[what], 0, most - 1)
  local records, states = load(ulids)
  met = #ulids
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    if not s or (s.final <= tonumber(cutoff) and not is_moving(s, records[i])) then
      weigh_out(ulid, s)
      forget(ulid)
      gather('ZREM', K[what], ulid)
      purged = purged + 1
    end
  end
end

if what == 'ready' then
  for band = 9, 0, -1 do
    if met < most then purge_band(band) end
  end
  -- keyed: next_cursor = purge_lanes()
elseif what == 'scheduled' then
  purge_scheduled()
else
  purge_final()
end
if stale > 0 then rc('HINCRBY', K.meta, 'stale', -stale) end
flush()
local has_more = met >= most and purged + stale > 0
return REPLY { purged = purged, has_more = has_more or next_cursor ~= '', next_cursor = next_cursor }
