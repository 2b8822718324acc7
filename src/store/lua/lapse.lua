#!lua flags=allow-oom
-- lapse: accepted, and no receipt in time → uncertain, dead or delivered. Kept receipts that nobody
-- needed go, and references whose message is gone.
-- include: clock collapse/steps receipt uncertain
--
-- args: earliest_us:number latest_us:number most:number waited_ms:number becomes
-- args: delivered_keep_ms:number dead_keep_ms:number probe_after_ms:number? reason
-- earliest_us, latest_us: this call is expected between them. most: messages, and looks, of
-- this call. waited_ms: for how long a receipt is. becomes: U, X or D. probe_after_ms: when the downstream is asked about
-- an uncertain one; none: never. reason: as a JSON string.
-- returns: is_in_doubt:flag now_us:number [lapsed:number has_more:flag]
-- is_in_doubt: the clock is, and nothing was done. 
--
-- Safe to repeat: what has lapsed is not accepted any more.
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
local keep_ms = { D = delivered_keep_ms, X = dead_keep_ms }

local function lapse()
  local ulids = rc('ZRANGE', K.accepted, '-inf', now_ms - waited_ms, 'BYSCORE', 'LIMIT', 0, most)
  local records, states = load(ulids)
  local lapsed = 0
  for i, ulid in ipairs(ulids) do
    local s = states[i]
    -- What cannot be read stays, and stands back.
    if s or not records[i] then gather('ZREM', K.accepted, ulid) else gather('ZADD', K.accepted, now_ms, ulid) end
    if s and s.state == 'A' then
      s.tail, s.state, lapsed = tail_with(s.tail, 'timeout', reason), becomes, lapsed + 1
      if becomes == 'U' then
        enter_uncertain(ulid, probe_after_ms)
        state_save(ulid, s)
        if s.fields ~= '' then collapse.doubted(ulid, s) end
        -- keyed: end_lane(ulid, records[i], true)
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
return REPLY { is_in_doubt = false, now_us = now_us, lapsed = lapsed, has_more = met >= most or looked >= most }
