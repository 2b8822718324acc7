-- include: events
-- Uncertain messages, and when the downstream is asked about each.
--
-- `probes` holds the moment of the next probe: a probe under way is one whose moment was put ahead by
-- its lease, so that one node asks at a time and a lost one is made up for. NEVER_MS: no further one,
-- the operator decides.
local NEVER_MS = RUST.NEVER_MS

-- after_ms none: the queue does not probe.
local function enter_uncertain(ulid, after_ms)
  gather('ZADD', K.uncertain, now_ms, ulid)
  tell_change(ulid, 'U')
  if after_ms then gather('ZADD', K.probes, now_ms + after_ms, ulid) end
end

local function leave_uncertain(ulid)
  gather('ZREM', K.uncertain, ulid)
  gather('ZREM', K.probes, ulid)
end

-- What a prober must show: nobody has asked, planned or decided anew since it was sent to ask. A
-- moment put ahead by a lease is later than all before it; the epoch tells apart two stays here.
local function probe_fence(s, moment_ms)
  return string.format('%.0f:%d', moment_ms, s.epoch)
end

local function probe_holds(ulid, s, fence)
  local moment_ms = rc('ZSCORE', K.probes, ulid)
  return moment_ms and probe_fence(s, tonumber(moment_ms)) == fence or false
end

-- The next probe's moment, or -1.
local function next_probe_ms()
  local head = tonumber(rc('ZRANGE', K.probes, 0, 0, 'WITHSCORES')[2])
  return head and head < NEVER_MS and head or -1
end
