-- include: packed ready gate
-- What may hold a claim up: pause, gate, calls in flight, a suspect, a batch that gathers. A part of claim.

-- How long a claim waits while messages move over to another structure.
local SWITCH_WAIT_US = 20000

-- Structure, pause and gate: how long until it is worth asking again (-1: somebody will tell), or nil when open.
local function shut()
  local m = rc('HMGET', K.meta, 'pause_since', 'pause_until', 'gate_until', 'gate_since', 'structure_number', 'switch')
  if (m[5] or '0') ~= string.match(keys_in_force, '^%d+') then return RUST.CLAIM_STRUCTURE, 0 end
  if m[6] then return RUST.CLAIM_KEYS, SWITCH_WAIT_US end
  if m[1] then
    local until_ms = tonumber(m[2])
    if until_ms == 0 then return RUST.CLAIM_PAUSED, -1 end
    if until_ms > now_ms then return RUST.CLAIM_PAUSED, (until_ms - now_ms) * 1000 end
    if in_doubt then return RUST.CLAIM_PAUSED, RUST.DOUBT_WAIT_US end
    pause_end(m[1], until_ms)
  end
  local gate_ms = gate_shut_until(m[3], m[4])
  if gate_ms > 0 then return RUST.CLAIM_SHUT, (gate_ms - now_ms) * 1000 end
  return nil
end

-- Calls that may be in flight beside those that are.
local function free_calls(in_flight)
  if not is_batch then return concurrency - in_flight end
  if not in_doubt then rc('ZREMRANGEBYSCORE', K.exchanges, '-inf', now_ms) end
  return concurrency - rc('ZCARD', K.exchanges)
end

-- Whether the only message in flight went alone, as a suspect: then nothing starts beside it.
local function is_suspect_out(in_flight)
  if in_flight ~= 1 then return false end
  return is_alone(rc('HGET', K.states, rc('ZRANGE', K.leased, 0, 0)[1]))
end

-- How much longer a batch gathers, in microseconds; 0: it fires.
local function batch_gathers(length)
  -- include: state
  local stale = tonumber(rc('HGET', K.meta, 'stale') or 0)
  if batch_now or length - stale >= batch_items then return 0 end
  local oldest_ms, bytes = nil, 0
  for band = 9, 0, -1 do
    local entries = rc('LRANGE', READY[band], 0, math.min(batch_items + stale, SCAN_MAX) - 1)
    local is_first = true
    for _, entry in ipairs(entries) do
      local ulid = string.sub(entry, 1, 26)
      if stale == 0 or entry_is_current(entry) then
        bytes = bytes + rc('HSTRLEN', K.records, ulid)
        local _, states = load(is_first and { ulid } or {})
        local s = states[1]
        if s then oldest_ms, is_first = math.min(oldest_ms or s.due, s.due), false end
      end
    end
  end
  -- Due later than now and yet ready: the clock has stepped back, and the wait has no measure.
  if bytes >= batch_bytes or (oldest_ms or 0) > now_ms then return 0 end
  return math.max(0, ((oldest_ms or now_ms) + batch_wait_ms - now_ms) * 1000)
end

-- keyed include: lanes/gathering
-- How many calls may begin beside those in flight; or none, the gate that does not let them, and how long until it is
-- worth asking again, us (-1: somebody will tell).
local function free_or_gate(length, in_flight)
  if is_suspect_out(in_flight) then return nil, RUST.CLAIM_CONCURRENCY, -1 end
  local calls = math.min(free_calls(in_flight), granted or most)
  if calls <= 0 then return nil, RUST.CLAIM_CONCURRENCY, -1 end
  if not is_batch then return calls end
  local gather_us = batch_gathers(length)
  if gather_us > 0 then return nil, RUST.CLAIM_GATHERING, gather_us end
  return 1
end
