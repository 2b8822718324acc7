-- include: lanes/index
-- What is idle goes also where nothing is claimed any more.
local function prune_lanes(most)
  -- include: lanes/prune
  prune_limits(most)
  prune_tags(most)
  flows_save()
end
