-- include: shard
-- The structure in force of a queue with keys: what orders its messages, what shares go by, which limits have a key.
--
-- It stands in `meta` as text, a line for each part that is set (written by propose.lua):
--   order KEY UNTIL STALL_MS     UNTIL: accepted or final. STALL_MS: 0 is never skipped
--   fair KEY
--   levels COUNT
--   aging PER_LEVEL_MS
--   limit ID KIND KEY NAME       KIND: rate, quota or concurrency. ID: a byte, not zero
--   backlog KEY                  each waiting and leased message is counted, for all and for the value of KEY; -: for all alone
-- Messages stand in lanes if there is a line `levels`.
-- KEY is the hash by which the key table of a record names a key (see store/record/optional.rs), as four hexadecimal digits.
local NONE = '\0\0\0\0\0\0\0\0'

local function key_name(digits)
  return string.char(tonumber(string.sub(digits, 1, 2), 16), tonumber(string.sub(digits, 3, 4), 16))
end

-- `of_flows`: the limits by the key that shares go by, which hold flows; `of_lanes`: the other limits by key, which hold lanes.
local function structure_read(text)
  local structure = { levels = 1, aging_ms = 0, stall_ms = 0, limits = {}, of_lanes = {}, of_flows = {}, limit_of = {} }
  for what, said in string.gmatch(text, '(%l+) (.-)\n') do
    if what == 'order' then
      local by, until_word, stall_ms = string.match(said, '^(%x+) (%l+) (%d+)$')
      structure.order_by, structure.until_final = key_name(by), until_word == 'final'
      structure.stall_ms = tonumber(stall_ms)
    elseif what == 'fair' then
      structure.fair_by = key_name(said)
    elseif what == 'levels' then
      structure.levels, structure.has_lanes = tonumber(said), true
    elseif what == 'backlog' then
      structure.counts, structure.counted_by = true, said ~= '-' and key_name(said) or nil
    elseif what == 'aging' then
      structure.aging_ms = tonumber(said)
    elseif what == 'limit' then
      local id, kind, per, name = string.match(said, '^(%d+) (%l+) (%x+) (%S+)$')
      local limit = { id = string.char(tonumber(id)), kind = kind, per = key_name(per), name = name }
      structure.limits[#structure.limits + 1], structure.limit_of[limit.id] = limit, limit
    end
  end
  for _, limit in ipairs(structure.limits) do
    limit.is_of_flow = limit.per == structure.fair_by
    local list = limit.is_of_flow and structure.of_flows or structure.of_lanes
    list[#list + 1] = limit
  end
  return structure
end
