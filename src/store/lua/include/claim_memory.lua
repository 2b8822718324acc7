-- include: packed
-- What a shard remembers of the last claim of each node: its token, how many messages, their ulids, their slots in as
-- many digits. A part of claim.
local SLOT_DIGITS = 16
local function memory_of(ulids, slots)
  local digits = {}
  for i, slot_us in ipairs(slots) do digits[i] = string.format('%016d', slot_us) end
  return token .. string.format('%04d', #ulids) .. table.concat(ulids) .. table.concat(digits)
end

-- The reply to this very claim was lost: what of it still stands under the same token.
local function repeated()
  local last = rc('HGET', K.claims, node)
  if not last or string.sub(last, 1, 20) ~= token then return nil end
  local ulids, slots, count = {}, {}, tonumber(string.sub(last, 21, 24))
  for i = 1, count do ulids[i] = string.sub(last, 26 * i - 1, 26 * i + 24) end
  for from = 25 + 26 * count, #last, SLOT_DIGITS do
    slots[#slots + 1] = tonumber(string.sub(last, from, from + SLOT_DIGITS - 1))
  end
  local records, states = hmget(K.records, ulids), hmget(K.states, ulids)
  local taken = { ulids = {}, slots = {}, headers = {}, records = {} }
  for i, ulid in ipairs(ulids) do
    if records[i] and states[i] and is_leased_as(states[i], token) then
      local n = #taken.ulids + 1
      taken.ulids[n], taken.slots[n], taken.records[n] = ulid, slots[i] or slots[1], records[i]
      taken.headers[n] = claimed_header(states[i])
    end
  end
  return taken
end
