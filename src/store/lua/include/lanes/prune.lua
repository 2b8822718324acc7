-- include: lanes/flows
-- What is as good as nothing goes, so much of it at a time: full bursts, periods that have ended, tags that the virtual time has passed.
local function prune_scores(key, to, most)
  local idle = #rc('ZRANGE', key, '-inf', to, 'BYSCORE', 'LIMIT', 0, most)
  if idle > 0 then rc('ZREMRANGEBYRANK', key, 0, idle - 1) end
  return idle >= most
end

-- Whether there is more.
local function prune_limits(most)
  -- What a rate still counts as its own is no idle moment (see units_take).
  local has_more = prune_scores(K.arrivals, score_of(now_us - RUST.LATE_BY_QUEUE_US), most)
  return has_more or prune_scores(K.used, string.format('%.0f', (math.floor(now_us / 60000000) + 1) * 2 ^ 27 - 1), most)
end

-- All tags go where no lane is open: nobody competes.
local function prune_tags(most)
  if rc('EXISTS', K.open) == 0 then
    local found = 0
    for level = 0, structure.levels - 1 do found = found + rc('EXISTS', TURNS[level]) end
    if found == 0 then
      if virtual_was ~= 0 or virtual ~= 0 then rc('HDEL', K.meta, 'virtual') end
      virtual, virtual_was, firsts = 0, 0, {}
      rc('UNLINK', K.tags)
      for _, f in pairs(flows) do f.tag, f.is_kept = nil, nil end
    end
    return
  end
  local from, passed = (virtual + WRAP / 2) % WRAP, nil
  if from > virtual then
    passed = rc('ZRANGE', K.tags, 0, tag_text(virtual), 'BYSCORE', 'LIMIT', 0, most)
    local wrapped = rc('ZRANGE', K.tags, tag_text(from), '+inf', 'BYSCORE', 'LIMIT', 0, most)
    for i = 1, #wrapped do passed[#passed + 1] = wrapped[i] end
  else
    passed = rc('ZRANGE', K.tags, tag_text(from), tag_text(virtual), 'BYSCORE', 'LIMIT', 0, most)
  end
  if #passed > 0 then rc('ZREM', K.tags, unpack(passed)) end
end
