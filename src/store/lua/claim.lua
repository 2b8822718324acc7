#!lua flags=allow-oom
-- claim: ready → leased. Asks the queue's gates and takes what may start within the horizon.
-- include: shard writes record state ready finish gate limit
--
-- ARGV[1] node (12 bytes)     ARGV[2] sequence of this claim at this node (8 bytes)
-- ARGV[3] most messages       ARGV[4] most bytes      ARGV[5] lease_ms     ARGV[6] concurrency
-- ARGV[7] period_us or 0      ARGV[8] burst           ARGV[9] horizon_us   ARGV[10] slots only before this moment_us, or 0
-- ARGV[11] batch: max_items or 0   ARGV[12] max_bytes   ARGV[13] max_wait_ms   ARGV[14] 1: do not wait for company
-- ARGV[15] calls already granted by the home slot, or -1: the limit is asked here
-- ARGV[16] retention_ms of expired messages   ARGV[17] lead_us: how long the reply takes; no slot is sooner
-- Returns {code, now_us, wait_us or -1, ready left, paused_ms, then per message: ulid, slot_us, attempt,
--         rescues, throttles, due_ms, expires_ms or 0, first_attempt_ms, paused_ms at the first attempt,
--         record}; codes: 0 taken, 1 empty, 2 paused, 3 gate shut, 4 concurrency, 5 limit, 6 batch
--         gathers, 7 only stale entries met: ask again
--
-- Safe to repeat: the shard remembers each node's last claim; the same sequence returns the same set.
local SCAN_MAX = 1000
local node, token = ARGV[1], ARGV[1] .. ARGV[2]
local most, bytes_max, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local concurrency, period_us, burst = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local horizon_us, before_us = tonumber(ARGV[9]), tonumber(ARGV[10])
local batch_items, batch_bytes = tonumber(ARGV[11]), tonumber(ARGV[12])
local batch_wait_ms, batch_now = tonumber(ARGV[13]), ARGV[14] == '1'
local granted, expired_keep_ms, lead_us = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local is_batch = batch_items > 0

local function answer(code, wait_us, taken)
  local reply = { code, now_us, math.ceil(wait_us), ready_length(), paused_total_ms() }
  for _, t in ipairs(taken or {}) do
    local s = t.state
    local n = #reply
    reply[n + 1], reply[n + 2], reply[n + 3] = t.ulid, math.ceil(t.slot_us), s.attempts
    reply[n + 4], reply[n + 5], reply[n + 6] = s.rescues, s.throttles, s.due
    reply[n + 7], reply[n + 8], reply[n + 9] = s.expires, s.first, s.paused
    reply[n + 10] = t.record
  end
  return reply
end

-- The reply to this very claim was lost: what of it still stands under the same token.
local function repeated()
  local last = rc('HGET', K.claims, node)
  if not last or string.sub(last, 1, 20) ~= token then return nil end
  local ulids, slots = {}, {}
  for from = 21, #last, 42 do
    ulids[#ulids + 1] = string.sub(last, from, from + 25)
    slots[#slots + 1] = tonumber(string.sub(last, from + 26, from + 41))
  end
  local records, states = load(ulids)
  local taken = {}
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    if s and s.state == 'L' and s.token == token then
      taken[#taken + 1] = { ulid = ulid, slot_us = slots[i], state = s, record = records[i] }
    end
  end
  return taken
end

-- Pause and gate: the moment at which to ask again (0: somebody will tell), or nil when open.
local function shut()
  local m = rc('HMGET', K.meta, 'pause_since', 'pause_until', 'gate_until')
  if m[1] then
    local until_ms = tonumber(m[2])
    if until_ms == 0 or until_ms > now_ms then return 2, until_ms end
    pause_end(m[1], until_ms)
  end
  if m[3] and tonumber(m[3]) > now_ms then return 3, tonumber(m[3]) end
  return nil
end

-- Calls that may be in flight beside those that are.
local function free_calls()
  if not is_batch then return concurrency - rc('ZCARD', K.leased) end
  rc('ZREMRANGEBYSCORE', K.exchanges, '-inf', now_ms)
  return concurrency - rc('ZCARD', K.exchanges)
end

-- Whether the only message in flight went alone, as a suspect: then nothing starts beside it.
local function is_suspect_out(in_flight)
  if in_flight ~= 1 then return false end
  local s = load_states(rc('ZRANGE', K.leased, 0, 0))[1]
  return s and s.flags == 1 or false
end

-- How much longer a batch gathers, in microseconds; 0: it fires.
local function batch_gathers(length)
  local stale = tonumber(rc('HGET', K.meta, 'stale') or 0)
  if batch_now or length - stale >= batch_items then return 0 end
  local oldest_ms, bytes = now_ms, 0
  for band = 9, 0, -1 do
    local entries = rc('LRANGE', READY[band], 0, math.min(batch_items + stale, SCAN_MAX) - 1)
    local is_first = true
    for _, entry in ipairs(entries) do
      local ulid = string.sub(entry, 1, 26)
      if stale == 0 or entry_is_current(entry) then
        bytes = bytes + rc('HSTRLEN', K.records, ulid)
        if is_first then
          local _, states = load({ ulid })
          oldest_ms, is_first = math.min(oldest_ms, states[1].due), false
        end
      end
    end
  end
  if bytes >= batch_bytes then return 0 end
  return math.max(0, (oldest_ms + batch_wait_ms - now_ms) * 1000)
end

-- How many records may be read at once: by the largest that this shard ever took in, so that
-- together they stay within the bytes that are left. None: one at a time, by its own size.
local function readable(left, count)
  local largest = tonumber(rc('HGET', K.meta, 'largest') or left)
  return math.min(count, math.floor(left / math.max(1, largest)))
end

-- Sorts one entry: taken, expired or stale. Returns whether the walk goes on, and whether past it.
local function meet(entry, ulid, s, record, found, alone_possible)
  if not s or s.state ~= 'w' or entry_of(ulid, s) ~= entry then
    found.stale = found.stale + 1
    return true, true
  end
  if s.expires > 0 and s.expires <= now_ms then
    found.lapsed[#found.lapsed + 1] = { ulid = ulid, state = s, record = record }
    return true, true
  end
  local taken = found.taken
  if s.rescues >= 2 and (#taken > 0 or not alone_possible) then
    -- Lost with its node twice: it goes alone, so that a third loss has no other cause.
    found.blocked = true
    return false, false
  end
  found.bytes = found.bytes + #record
  taken[#taken + 1] = { ulid = ulid, state = s, record = record }
  if s.rescues >= 2 then s.flags = 1 end
  return s.rescues < 2, true
end

-- Walks the entries of one band from `from`; returns how far it came, and whether it goes on.
local function walk(entries, want, found, limit_bytes, alone_possible)
  local at = 0
  while at < #entries do
    local taken = #found.taken
    if taken >= want then return at, false end
    local count = readable(limit_bytes - found.bytes, math.min(#entries - at, want - taken))
    if count < 1 then
      count = 1
      local size = rc('HSTRLEN', K.records, string.sub(entries[at + 1], 1, 26))
      if taken > 0 and found.bytes + size > limit_bytes then return at, false end
    end
    local ulids = {}
    for i = 1, count do ulids[i] = string.sub(entries[at + i], 1, 26) end
    local records, states = load(ulids)
    for i = 1, count do
      local goes_on, past = meet(entries[at + i], ulids[i], states[i], records[i], found, alone_possible)
      if not goes_on then return at + i - (past and 0 or 1), false end
    end
    at = at + count
  end
  return at, true
end

-- Walks the heads of the bands, best first, and splits what it meets: taken, expired, stale.
local function take(want, alone_possible)
  local found = { taken = {}, lapsed = {}, stale = 0, bytes = 0, blocked = false }
  local limit_bytes = is_batch and math.min(batch_bytes, bytes_max) or bytes_max
  for band = 9, 0, -1 do
    local most_here = math.min(want - #found.taken + 100, SCAN_MAX)
    local entries = rc('LRANGE', READY[band], 0, most_here - 1)
    if #entries > 0 then
      local walked, goes_on = walk(entries, want, found, limit_bytes, alone_possible)
      if walked > 0 then gather('LPOP', READY[band], walked) end
      if not goes_on then break end
    end
    if #found.taken >= want then break end
  end
  return found
end

local function lease(taken, slots)
  local paused_ms = paused_total_ms()
  local memory = { token }
  for i, t in ipairs(taken) do
    local s = t.state
    t.slot_us = slots[is_batch and 1 or i] or now_us
    if s.token ~= NO_TOKEN then s.previous = s.token end
    s.state, s.token, s.attempts = 'L', token, math.min(65535, s.attempts + 1)
    if s.rescues < 2 then s.flags = 0 end
    if s.first == 0 then s.first, s.paused = now_ms, paused_ms end
    state_save(t.ulid, s)
    gather('ZADD', K.leased, now_ms + lease_ms, t.ulid)
    if s.expires > 0 then gather('ZREM', K.expiry, t.ulid) end
    memory[#memory + 1] = t.ulid .. string.format('%016.0f', t.slot_us)
  end
  gather('HSET', K.claims, node, table.concat(memory))
  if is_batch then gather('ZADD', K.exchanges, now_ms + lease_ms, token) end
end

local again = repeated()
if again and #again > 0 then return answer(0, 0, again) end
local code, until_ms = shut()
if code then return answer(code, until_ms == 0 and -1 or (until_ms - now_ms) * 1000) end
local length = ready_length()
if length == 0 then return answer(1, -1) end
local in_flight = rc('ZCARD', K.leased)
if is_suspect_out(in_flight) then return answer(4, -1) end
local calls = math.min(free_calls(), granted >= 0 and granted or most)
if calls <= 0 then return answer(4, -1) end
if is_batch then
  local gather_us = batch_gathers(length)
  if gather_us > 0 then return answer(6, gather_us) end
  calls = 1
end

local slots, tats, next_us = {}, {}, now_us
if period_us > 0 and granted < 0 then
  slots, tats, next_us = limit_slots(period_us, burst, horizon_us, calls, before_us, lead_us)
  if #slots == 0 then return answer(5, next_us - now_us - lead_us - horizon_us) end
  calls = #slots
end

local want = is_batch and math.min(batch_items, most) or math.min(calls, most)
local found = take(want, in_flight == 0)
local taken = found.taken
for _, t in ipairs(found.lapsed) do
  t.state.state = 'E'
  if t.state.expires > 0 then gather('ZREM', K.expiry, t.ulid) end
  finish(t.ulid, t.state, t.record, expired_keep_ms)
end
if found.stale > 0 then rc('HINCRBY', K.meta, 'stale', -found.stale) end
if #taken > 0 then
  lease(taken, slots)
  local used = is_batch and 1 or #taken
  if period_us > 0 and granted < 0 then limit_take(tats, used) end
  calls_count(used)
end
flush()
if #taken > 0 then return answer(0, 0, taken) end
if found.blocked then return answer(4, -1) end
return answer(7, 0)
