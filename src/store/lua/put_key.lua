#!lua flags=allow-oom
-- put_key: what a key of a queue is given at run time is written, in place of what it had, or deleted.
-- include: shard
-- keyed include: lanes/index
--
-- args: keys_in_force value hash settings weight:number? keys_max:number elsewhere:number (limit said)...
-- keys_in_force: as claim. value: the key, hash: as messages have it, 8 bytes. settings: as JSON, '' deletes it. weight: in thousandths.
-- keys_max: so many keys at most, with those of other shards, which are `elsewhere`. Rows: the name of a limit, and what it allows this
-- key, as in `key_values` (see lanes/own).
-- returns: now_ms:number code:number before
-- Codes: 0 new, 1 replaced, 2 deleted, 3 there is none, 4 too many, 5 another structure is in force than the caller knows.
-- before: the settings that it had.
--
--   key_settings   sorted set of equal scores: value, a zero byte, settings. No value has a zero byte.
--   key_parts      hash: 'weight', or kind, name and, of a quota, period of a limit → how many keys have that
--
-- It holds at once for what waits: the next claim looks at what limits hold of this key. Safe to repeat: then it replaces what it wrote
-- itself, or there is none; it writes all the same, so that a durability wait covers the first.
local NEW, REPLACED, DELETED, NONE_THERE, TOO_MANY, OTHER_STRUCTURE = 0, 1, 2, 3, 4, 5
local structure_number = rc('HGET', K.meta, 'structure_number') or '0'
if structure_number ~= string.match(keys_in_force, '^%d+') then
  return REPLY { now_ms = now_ms, code = OTHER_STRUCTURE, before = '' }
end

local member = rc('ZRANGE', K.key_settings, '[' .. value .. '\0', '(' .. value .. '\1', 'BYLEX', 'LIMIT', 0, 1)[1]
local before = member and string.sub(member, #value + 2)
rc('HSET', K.meta, 'keys_changed', now_ms)
if settings == '' and not before then return REPLY { now_ms = now_ms, code = NONE_THERE, before = '' } end
if not before and elsewhere + rc('ZCARD', K.key_settings) >= keys_max then
  return REPLY { now_ms = now_ms, code = TOO_MANY, before = '' }
end

local function count(key, field, change)
  if rc('HINCRBY', key, field, change) <= 0 then rc('HDEL', key, field) end
end

local function count_limit(limit, said, change)
  local kind, period = string.match(said, '^(%l+) %S+ ?(%l*)$')
  count(K.key_parts, kind .. ' ' .. limit .. (period ~= '' and ' ' .. period or ''), change)
  count(K.meta, 'key_limits', change)
end

local function count_weight(change)
  count(K.key_parts, 'weight', change)
  count(K.meta, 'key_weights', change)
end

-- What its limits were, by their names; what it had is gone.
local said_before = {}
if before then
  rc('ZREM', K.key_settings, member)
  if rc('HDEL', K.key_values, '\0' .. hash) == 1 then count_weight(-1) end
  local is_read, had = pcall(cjson.decode, before)
  for limit in pairs(is_read and had.limits or {}) do
    local field = limit .. '\0' .. hash
    local said = rc('HGET', K.key_values, field)
    if said then
      said_before[limit] = said
      rc('HDEL', K.key_values, field)
      count_limit(limit, said, -1)
    end
  end
end

local has_changed = {}
for limit in pairs(said_before) do has_changed[limit] = true end
if settings ~= '' then
  rc('ZADD', K.key_settings, 0, value .. '\0' .. settings)
  if weight then
    rc('HSET', K.key_values, '\0' .. hash, weight)
    count_weight(1)
  end
  for i = 1, ROWS do
    local limit, said = ROW[i].limit, ROW[i].said
    rc('HSET', K.key_values, limit .. '\0' .. hash, said)
    count_limit(limit, said, 1)
    has_changed[limit] = said_before[limit] ~= said
  end
end

-- What the changed limits hold of this key is due now. A rate holds nothing for longer than its burst explains: what the key had taken
-- of it in advance, by a cost above 1, is forgotten.
local function look_at_key()
  local lead_us, horizon_us, before_us, limit_lines, granted = 0, 0, 0, '', nil
  -- keyed include: lanes/limits
  -- keyed: in_force[6] = rc('HGET', K.meta, 'key_limits')
  -- keyed: for _, limit in ipairs(structure.limits) do
  -- keyed:   local blocker = limit.id .. hash
  -- keyed:   if has_changed[limit.name] and limit.kind == 'rate' then
  -- keyed:     local terms = terms_of(limit, blocker)
  -- keyed:     local arrival, furthest_us = rc('ZSCORE', K.arrivals, blocker), now_us + terms.tolerance_us + terms.period_us
  -- keyed:     if arrival and tonumber(arrival) > furthest_us then rc('ZADD', K.arrivals, score_of(furthest_us), blocker) end
  -- keyed:   end
  -- keyed:   if has_changed[limit.name] then look_at_blocker(blocker) end
  -- keyed: end
end
look_at_key()
publish('wake', ' 2')
local code = settings == '' and DELETED or before and REPLACED or NEW
return REPLY { now_ms = now_ms, code = code, before = before or '' }
