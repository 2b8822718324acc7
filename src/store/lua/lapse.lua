#!lua flags=allow-oom
-- lapse: accepted, and no receipt in time → uncertain, dead or delivered. Kept receipts that nobody
-- needed go, and references whose message is gone.
-- include: shard clock writes events record packed state finals wake callback weight waited finish uncertain receipt
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us
-- ARGV[3] most messages, and most looks, in this call   ARGV[4] how long a receipt is waited for, ms
-- ARGV[5] what follows: U, X or D   ARGV[6] retention_ms of delivered messages   ARGV[7] of dead ones
-- ARGV[8] after how long the downstream is asked about an uncertain one, ms, or ''   ARGV[9] why, as a JSON string
-- Returns {0, now_us, lapsed, 1 if there is more else 0}, or {1, now_us}: the clock is in doubt, and
--         nothing was done
--
-- Safe to repeat: what has lapsed is not accepted any more.
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local most, becomes = tonumber(ARGV[3]), ARGV[5]
local keep_ms = { D = tonumber(ARGV[6]), X = tonumber(ARGV[7]) }

local function lapse()
  local ulids = rc('ZRANGE', K.accepted, '-inf', now_ms - tonumber(ARGV[4]), 'BYSCORE', 'LIMIT', 0, most)
  local records, states = load(ulids)
  local lapsed = 0
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    -- What cannot be read stays, and stands back.
    if s or not records[i] then gather('ZREM', K.accepted, ulid) else gather('ZADD', K.accepted, now_ms, ulid) end
    if s and s.state == 'A' then
      s.tail, s.state, lapsed = tail_with(s.tail, 'timeout', ARGV[9]), becomes, lapsed + 1
      if becomes == 'U' then
        enter_uncertain(ulid, ARGV[8])
        state_save(ulid, s)
      else
        finish(ulid, s, records[i], keep_ms[becomes])
      end
    end
  end
  return lapsed, #ulids
end

-- A reference lives as long as its message.
local function look_at_reference(reference)
  local ulid = rc('HGET', K.refs, reference)
  if not ulid then return gather('ZREM', K.looks, 'r' .. reference) end
  if rc('HEXISTS', K.records, ulid) == 1 then
    local s = load_states({ ulid })[1]
    local purge_ms = s and FINAL[s.state] and rc('ZSCORE', FINAL_KEY[s.state], ulid)
    return gather('ZADD', K.looks, math.max(now_ms, tonumber(purge_ms or 0)) + LOOK_MS, 'r' .. reference)
  end
  gather('HDEL', K.refs, reference)
  gather('ZREM', K.looks, 'r' .. reference)
end

local function look()
  local members = rc('ZRANGE', K.looks, '-inf', now_ms, 'BYSCORE', 'LIMIT', 0, most)
  for _, member in ipairs(members) do
    local what = string.sub(member, 2)
    if string.sub(member, 1, 1) == 'r' then
      look_at_reference(what)
    else
      gather('HDEL', K.early, what)
      gather('ZREM', K.looks, member)
    end
  end
  return #members
end

local lapsed, met = lapse()
local looked = look()
flush()
return { 0, now_us, lapsed, (met >= most or looked >= most) and 1 or 0 }
