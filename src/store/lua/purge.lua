#!lua flags=allow-oom
-- purge: waiting messages are cancelled, final ones are deleted; bounded, up to the call's own time.
-- include: shard writes record state ready finish
--
-- ARGV[1] state (scheduled, ready, delivered, dead, expired, cancelled)   ARGV[2] most messages
-- ARGV[3] cut-off: scheduled and ready: created before, as the first ten characters of a ULID;
--         finals: purge time at most this, ms      ARGV[4] retention_ms of cancelled messages
-- Returns {purged, 1 if more may remain else 0}
--
-- Safe to repeat: it goes on where it stopped.
local what, most, cutoff = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local purged, met = 0, 0

local function cancel_each(ulids)
  local records, states = load(ulids)
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    if s and s.state == 'w' and string.sub(ulid, 1, 10) <= cutoff then
      leave_waiting(ulid, s)
      s.state, purged = 'C', purged + 1
      finish(ulid, s, records[i], tonumber(ARGV[4]))
    end
  end
end

local function ulids_of(entries)
  local ulids = {}
  for i, entry in ipairs(entries) do ulids[i] = string.sub(entry, 1, 26) end
  return ulids
end

-- Ready entries are popped, not left behind as stale; those younger than the call go back.
local function purge_ready()
  for band = 9, 0, -1 do
    local entries = rc('LRANGE', READY[band], 0, most - met - 1)
    if met >= most then break end
    local records, states = load(ulids_of(entries))
    local kept = {}
    for i, entry in ipairs(entries) do
      local s, ulid = states[i], string.sub(entry, 1, 26)
      if not s or s.state ~= 'w' or entry_of(ulid, s) ~= entry then
        gather('HINCRBY', K.meta, 'stale', -1)
        flush()
      elseif string.sub(ulid, 1, 10) > cutoff then
        kept[#kept + 1] = entry
      else
        if s.expires > 0 then gather('ZREM', K.expiry, ulid) end
        s.state, purged = 'C', purged + 1
        finish(ulid, s, records[i], tonumber(ARGV[4]))
      end
    end
    if #entries > 0 then
      rc('LPOP', READY[band], #entries)
      if #kept > 0 then rc('RPUSH', READY[band], unpack(kept)) end
    end
    met = met + #entries
  end
  return met >= most and purged > 0
end

local more
if what == 'ready' then
  more = purge_ready()
elseif what == 'scheduled' then
  local entries = rc('ZRANGE', K.due, 0, most - 1)
  cancel_each(ulids_of(entries))
  more = #entries >= most and purged > 0
else
  local ulids = rc('ZRANGE', K[what], '-inf', cutoff, 'BYSCORE', 'LIMIT', 0, most)
  for _, ulid in ipairs(ulids) do
    forget(ulid)
    gather('ZREM', K[what], ulid)
  end
  purged, more = #ulids, #ulids >= most
end
flush()
return { purged, more and 1 or 0 }
