-- include: lanes/ready
-- A claim at a queue with keys takes from lanes what other claims take from the ready lists.
local take_from_lists, lanes_of_claim = take, nil
local function lanes_claim()
  if lanes_of_claim then return lanes_of_claim end
  -- include: lanes/take
  lanes_of_claim = { take = take_from_lanes, lend_meanwhile = lend_meanwhile, save = lanes_claim_save }
  return lanes_of_claim
end

local function take(want, alone_possible, lengths)
  if not is_laned then return take_from_lists(want, alone_possible, lengths) end
  local found = lanes_claim().take(want, alone_possible, lengths)
  lanes_claim().save()
  return found
end

-- Nothing is ready: lanes that are free and flows that were held leave nothing behind.
local function lanes_claim_idle()
  if rc('EXISTS', K.waits, K.tags) == 0 then return end
  lanes_claim().lend_meanwhile()
  lanes_claim().save()
end
