-- include: lanes/index
-- At a queue with keys, what is ready stands in lanes. The ready lists have only what a node has put there that did not know of the
-- keys yet: claims move it into lanes.
local ready_length_of_lists = ready_length
local function ready_length()
  local length, lengths = ready_length_of_lists()
  return length + rc('ZCARD', K.open) + rc('ZCARD', K.parked) + rc('ZCARD', K.rest), lengths
end

local ready_tail_of_lists, ready_head_of_lists, ready_tail_all_of_lists = ready_tail, ready_head, ready_tail_all
local function ready_tail(entry, band)
  if not is_laned then return ready_tail_of_lists(entry, band) end
  entering[#entering + 1] = entry
end

local function ready_head(entry, band)
  if not is_laned then return ready_head_of_lists(entry, band) end
  entering[#entering + 1] = entry
end

local function ready_tail_all(entries)
  if not is_laned then return ready_tail_all_of_lists(entries) end
  for _, entry in ipairs(entries) do entering[#entering + 1] = entry end
end
