-- What the caller says: the moment (production takes TIME), the structure of the queue, and its limits.
--
-- ARGV: now_us horizon_us levels aging_ms order_by fair_by tags_wrap_at count, then for each limit: id (1 byte, not zero)
-- kind per a b; then the rows of the step. order_by, fair_by, per: a name as records have it (2 bytes), or '' for none.
-- a and b: of a rate the period of one unit, us, and the burst; of a quota the units and the minute in which its period
-- ends; of a concurrency the calls.
local rc = redis.call
local NONE = '\0\0\0\0\0\0\0\0'
local now_us, levels, aging_ms = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
local last_us = now_us + tonumber(ARGV[2])
local order_by, fair_by = ARGV[5], ARGV[6]
local WRAP = tonumber(ARGV[7])
-- A limit by the key that shares are by holds flows, any other one with `per` holds lanes.
local LIMITS, OF_LANES, OF_FLOWS, LIMIT_OF = {}, {}, {}, {}
for i = 1, tonumber(ARGV[8]) do
  local at = 4 + 5 * i
  local a, b = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local limit = { id = ARGV[at], kind = ARGV[at + 1], per = ARGV[at + 2], a = a }
  if limit.kind == 'r' then
    limit.tolerance_us = (b - 1) * a
  elseif limit.kind == 'q' then
    limit.end_minute, limit.end_us = b, b * 60000000
    -- A slot lies in the period in which its unit counts.
    last_us = math.min(last_us, limit.end_us - 1)
  end
  LIMITS[i], LIMIT_OF[limit.id] = limit, limit
  if limit.per ~= '' then
    limit.is_of_flow = limit.per == fair_by
    local list = limit.is_of_flow and OF_FLOWS or OF_LANES
    list[#list + 1] = limit
  end
end
local ROW = 9 + 5 * #LIMITS
local TURNS = {
  [0] = K.turns_0, K.turns_1, K.turns_2, K.turns_3, K.turns_4, K.turns_5, K.turns_6, K.turns_7, K.turns_8, K.turns_9,
}

-- Lua would write no more than 14 digits of a number.
local function text(number)
  return number == math.huge and 'inf' or string.format('%.2f', number)
end

local function number(text)
  if not text then return nil end
  return text == 'inf' and math.huge or tonumber(text)
end

-- The members of a sorted set of equal scores that begin with `prefix`; what follows it begins with no byte 255.
local function with_prefix(key, prefix, most)
  return rc('ZRANGE', key, '[' .. prefix, '(' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, most)
end
