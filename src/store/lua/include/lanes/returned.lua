-- include: shard limits
-- Slots that were granted and that no message could use, in the field `returned` of meta. A node asks for slots before it knows what the
-- keys of a shard let start. What comes back is granted again, to any node, so that a rate is used wholly: a slot stands for one unit of
-- every rate, whoever starts in it. Quotas get their units back by number (see limits), and give them anew.
local returned = {}

for slot_us in string.gmatch(rc('HGET', K.meta, 'returned') or '', '%d+') do
  if tonumber(slot_us) > now_us then returned[#returned + 1] = tonumber(slot_us) end
end

local function returned_add(text)
  for slot_us in string.gmatch(text, '%d+') do
    if tonumber(slot_us) > now_us then returned[#returned + 1] = tonumber(slot_us) end
  end
end

-- The slot of a call of one unit: the first one that came back, if that is sooner than the one that the limits would give. Returns the limits
-- that have to be taken from, the slot, and whether it is known.
local function returned_or(limits, from_us, slot_us, is_known, cost)
  local best, quotas = nil, {}
  for i, at_us in ipairs(returned) do
    if at_us >= from_us and (at_us < slot_us or not is_known) and at_us < (returned[best] or math.huge) then best = i end
  end
  if not best or cost > 1 then return limits, slot_us, is_known end
  for _, limit in ipairs(limits) do
    if not limit.is_rate then quotas[#quotas + 1] = limit end
  end
  local opens_us, passes = limits_slot(quotas, returned[best], 1, 1)
  if not passes or opens_us > returned[best] then return limits, slot_us, is_known end
  return quotas, table.remove(returned, best), true
end

local function returned_save()
  if #returned == 0 then return rc('HDEL', K.meta, 'returned') end
  for i, slot_us in ipairs(returned) do returned[i] = string.format('%.0f', slot_us) end
  rc('HSET', K.meta, 'returned', table.concat(returned, ' '))
end
