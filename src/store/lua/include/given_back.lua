-- include: limits rows record
-- What a message that is given back had taken of quotas: its call surely did not start. The script has `limit_lines`: of the
-- quotas alone, '' where nothing is to go back. Each row has the slot of its call, or 0, and the units that it took; of
-- no units: what the message costs, since a worker that pulled it cannot be asked.
local returned = limit_lines ~= '' and limits_read(limit_lines, 0) or nil

local function units_return(i)
  -- keyed: if ROW[i].slot_us > 0 then unstarted[ulids[i]] = true end
  local slot_us = returned and ROW[i].slot_us or 0
  if slot_us == 0 then return end
  local calls, messages = ROW[i].calls, ROW[i].messages
  if messages == 0 then
    local record = rc('HGET', K.records, ulids[i])
    if not record then return end
    calls = record_cost(record)
    messages = calls
  end
  limits_give_back(returned, slot_us, calls, messages)
end

-- All messages of a call were claimed by one node: a token begins with its name.
local function units_save()
  if returned and ROWS > 0 then limits_save(returned, string.sub(ROW[1].token, 1, 12)) end
end
