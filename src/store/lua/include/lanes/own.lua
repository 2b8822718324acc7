-- include: shard
-- What single keys were given at run time (see put_key). It goes before what the configuration says of all keys.
--
--   key_values   hash: name of a limit, a zero byte, hash of the key 8 → 'rate PERIOD_US', 'quota UNITS PERIOD' or
--                'concurrency CALLS'; and a zero byte, hash of the key 8 → weight × 1000
--
-- An override of the limit goes before it: what is less holds, or the override in any case, which the limit itself says then.
-- Of a limit that is another one now under the same name, of another kind or period, it says nothing. meta has how many there are, in
-- `key_limits` and `key_weights`, so that a queue without any reads nothing.
local own_terms = {}

-- pace: makes a rate of its period.
local function own_terms_read(limit, blocker, pace)
  local said = rc('HGET', K.key_values, limit.name .. '\0' .. string.sub(blocker, 2))
  local kind, value, period = string.match(said or '', '^(%l+) (%S+) ?(%l*)$')
  if kind ~= limit.kind or (kind == 'quota' and period ~= limit.period) then return nil end
  if limit.cap_is_above then return nil end
  value = tonumber(value)
  if limit.cap then value = kind == 'rate' and math.max(value, limit.cap) or kind ~= 'rate' and math.min(value, limit.cap) end
  local terms = setmetatable({}, { __index = limit })
  if kind == 'rate' then pace(terms, value)
  elseif kind == 'quota' then terms.units = value
  else terms.calls = value end
  return terms
end
