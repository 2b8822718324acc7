-- include: shard
-- What single keys were given at run time (see put_key). It goes before what the configuration says of all keys.
--
--   key_values   hash: name of a limit, a zero byte, hash of the key 8 → 'rate PERIOD_US', 'quota UNITS PERIOD' or
--                'concurrency CALLS'; and a zero byte, hash of the key 8 → weight × 1000
--
-- Of a limit that is another one now under the same name, of another kind or period, it says nothing. meta has how many there are, in
-- `key_limits` and `key_weights`, so that a queue without any reads nothing.
local own_terms = {}

-- pace: makes a rate of its period.
local function own_terms_read(limit, blocker, pace)
  local said = rc('HGET', K.key_values, limit.name .. '\0' .. string.sub(blocker, 2))
  local kind, value, period = string.match(said or '', '^(%l+) (%S+) ?(%l*)$')
  if kind ~= limit.kind or (kind == 'quota' and period ~= limit.period) then return nil end
  local terms = setmetatable({}, { __index = limit })
  if kind == 'rate' then pace(terms, tonumber(value))
  elseif kind == 'quota' then terms.units = tonumber(value)
  else terms.calls = tonumber(value) end
  return terms
end
