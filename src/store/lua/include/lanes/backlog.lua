-- include: lanes/keys
-- The backlog of a queue that counts it: how many messages of each value of a key are scheduled, ready or leased, and the bytes of
-- all their records.
--
-- `backlog` has an entry for each message that is counted, with what it is counted as: the hash of the value of its key (8 bytes; NONE
-- where the queue counts by none) and its bytes (u32). So a message is counted once, whatever is repeated, and what is taken off is what was
-- added. The sums stand in `backlog_keys` and, of the bytes, in meta.
local COUNTED = { w = true, L = true }

local function counted_as(record)
  local key = structure.counted_by and keys_of(record)[structure.counted_by] or NONE
  return key .. struct.pack('>I4', #record)
end

local function counted_before(known)
  if not known then return nil, 0 end
  return string.sub(known, 1, 8), struct.unpack('>I4', known, 9)
end

local function record_of_touched(ulid)
  local record = touched[ulid][2] or rc('HGET', K.records, ulid)
  return record and record_is_readable(record) and record
end

-- What was there before the queue counted is still being counted: what is missing may come.
local function is_counting() return rc('EXISTS', K.backlog_at) == 1 end

-- Whether a message is counted as another thing than it is, or not at all, or though it does not count.
local function is_counted_wrongly(ulid, record, s)
  local known = rc('HGET', K.backlog, ulid)
  if record and not s then return false end
  if not s or not COUNTED[s.state] then return known ~= false end
  if not known then return not is_counting() end
  return known ~= counted_as(record)
end

-- The sum over all keys differs from the number of messages. Of very many keys nobody asks.
local KEYS_SUMMED_MAX = 10000
local function sums_differ()
  if is_counting() or not structure.counted_by or rc('HLEN', K.backlog_keys) > KEYS_SUMMED_MAX then return false end
  local sum = 0
  local counts = rc('HGETALL', K.backlog_keys)
  for i = 2, #counts, 2 do sum = sum + tonumber(counts[i]) end
  return sum ~= rc('HLEN', K.backlog)
end

-- `touched` says of each message in which state it is now.
local function count_touched()
  local ulids, by_key, bytes_more = {}, {}, 0
  for ulid in pairs(touched) do ulids[#ulids + 1] = ulid end
  if #ulids == 0 then return end
  local known = hmget(K.backlog, ulids)
  for i, ulid in ipairs(ulids) do
    local is_counted, counted = COUNTED[touched[ulid][1]], known[i]
    if is_counted and (not counted or touched[ulid][2]) then
      local record = record_of_touched(ulid)
      counted = record and counted_as(record)
    elseif not is_counted then
      counted = nil
    end
    if counted ~= known[i] and (counted or known[i]) then
      local key_before, bytes_before = counted_before(known[i])
      local key, bytes = counted_before(counted)
      if key_before then by_key[key_before] = (by_key[key_before] or 0) - 1 end
      if key then by_key[key] = (by_key[key] or 0) + 1 end
      bytes_more = bytes_more + bytes - bytes_before
      if counted then gather('HSET', K.backlog, ulid, counted) else gather('HDEL', K.backlog, ulid) end
    end
  end
  touched = {}
  flush_before_lanes()
  if bytes_more ~= 0 then rc('HINCRBY', K.meta, 'backlog_bytes', bytes_more) end
  if not structure.counted_by then return end
  for key, more in pairs(by_key) do
    if more ~= 0 and rc('HINCRBY', K.backlog_keys, key, more) <= 0 then rc('HDEL', K.backlog_keys, key) end
  end
end
