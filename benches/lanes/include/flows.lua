-- Start-time fair queueing. A flow with an open lane has a start tag; the least one goes first.
--
-- `turns_0` to `turns_9`: sorted sets, flow by start tag, of the flows with an open lane of that level. `tags`: sorted set,
-- flow by start tag, of the others whose tag the virtual time has not passed. Tags count on a circle of WRAP: every tag
-- lies less than half of it ahead of the virtual time.
--
-- A flow that a limit by its own key holds keeps its lanes in `open` and has no turn; its blocker stands in `waits`.
local virtual = tonumber(rc('HGET', K.meta, 'virtual') or 0)
local virtual_was = virtual
local has_weights = rc('HLEN', K.weights) > 0
-- A flow whose lanes were refused so often in a call has no turn while another has one.
local REFUSALS_MAX = 8
local flows, firsts, resting, resting_count = {}, {}, {}, 0

local function ahead(tag) return (tag - virtual) % WRAP end

local function flow_of(flow)
  local f = flows[flow]
  if f then return f end
  f = { standing = 0, at = {} }
  for level = 0, levels - 1 do
    local tag = rc('ZSCORE', TURNS[level], flow)
    if tag then f.tag, f.at[level], f.standing = tonumber(tag), true, f.standing + 1 end
  end
  for _, limit in ipairs(OF_FLOWS) do
    local until_us = number(rc('ZSCORE', K.waits, limit.id .. flow))
    if until_us then f.held_until_us = math.max(f.held_until_us or 0, until_us) end
  end
  if not f.tag then
    local tag = rc('ZSCORE', K.tags, flow)
    if tag then f.tag, f.is_kept = tonumber(tag), true end
  end
  flows[flow] = f
  return f
end

-- Another of its lanes may be its first one at this level; its turn stays.
local function lane_changes(flow, level)
  local first = firsts[level]
  if first and first.flow == flow then first.lane = nil end
end

-- A lane of it has opened at this level.
local function flow_opens(flow, level)
  lane_changes(flow, level)
  local f = flow_of(flow)
  if f.at[level] or f.held_until_us then return end
  firsts[level] = nil
  if f.standing == 0 and not (f.tag and ahead(f.tag) < WRAP / 2) then f.tag = virtual end
  if f.is_kept then
    rc('ZREM', K.tags, flow)
    f.is_kept = false
  end
  f.at[level], f.standing = true, f.standing + 1
  rc('ZADD', TURNS[level], string.format('%.0f', f.tag), flow)
end

local function has_open_lane(flow, level)
  return #with_prefix(K.open, string.char(level) .. flow, 1) > 0
end

local function flow_is_free(flow, f)
  for _, limit in ipairs(OF_FLOWS) do rc('ZREM', K.waits, limit.id .. flow) end
  f.held_until_us = nil
end

-- Its last open lane of this level is open no more.
local function flow_closes(flow, level)
  firsts[level] = nil
  local f = flow_of(flow)
  if f.held_until_us then return end
  rc('ZREM', TURNS[level], flow)
  f.at[level], f.standing = nil, f.standing - 1
  local distance = ahead(f.tag)
  if f.standing == 0 and distance > 0 and distance < WRAP / 2 then
    rc('ZADD', K.tags, string.format('%.0f', f.tag), flow)
    f.is_kept = true
  end
end

-- A limit by its own key holds it.
local function flow_waits(flow, blocker, moment_us)
  local f = flow_of(flow)
  for level in pairs(f.at) do flow_closes(flow, level) end
  rc('ZADD', K.waits, text(moment_us), blocker)
  f.held_until_us = moment_us
end

local function flow_goes_on(flow)
  flow_is_free(flow, flow_of(flow))
  for level = 0, levels - 1 do
    if has_open_lane(flow, level) then flow_opens(flow, level) end
  end
end

local function flow_refused(flow)
  local f = flow_of(flow)
  f.refusals = (f.refusals or 0) + 1
  if f.refusals < REFUSALS_MAX or resting[flow] then return end
  resting[flow], resting_count, firsts = true, resting_count + 1, {}
end

local function flows_wake()
  for flow in pairs(resting) do flows[flow].refusals = 0 end
  resting, resting_count, firsts = {}, 0, {}
end

local function share_of(flow, cost)
  local weight = has_weights and tonumber(rc('HGET', K.weights, flow) or nil) or 1000
  return math.floor(cost * 1000000000 / weight)
end

-- Its tag moves by what was taken, or, below zero, was given back.
local function flow_moves(flow, share)
  local f = flow_of(flow)
  if not f.tag then return end
  local distance = ahead(f.tag)
  -- What lies behind the virtual time counts as nothing.
  if distance >= WRAP / 2 then return end
  f.tag = (virtual + math.max(0, math.min(distance + share, WRAP / 2 - 1))) % WRAP
  local tag = string.format('%.0f', f.tag)
  for level in pairs(f.at) do
    firsts[level] = nil
    rc('ZADD', TURNS[level], tag, flow)
  end
  if f.is_kept then rc('ZADD', K.tags, tag, flow) end
end

-- The first flow of a level, resting or not, decides the virtual time; the first that does not rest has the turn.
local function turn_first(level)
  local most = resting_count + 1
  local found = rc('ZRANGE', TURNS[level], string.format('%.0f', virtual), '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  if #found < 2 * most then
    local wrapped = rc('ZRANGE', TURNS[level], 0, string.format('(%.0f', virtual), 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
    for i = 1, #wrapped do found[#found + 1] = wrapped[i] end
  end
  if #found == 0 then return false end
  local first = { level = level, tag = tonumber(found[2]) }
  for i = 1, #found, 2 do
    if not first.flow and not resting[found[i]] then first.flow = found[i] end
  end
  return first
end

local function first_of(level)
  if firsts[level] == nil then firsts[level] = turn_first(level) end
  return firsts[level]
end

local function first_lane(first)
  if first.lane then return end
  local members = with_prefix(K.open, string.char(first.level) .. first.flow, 2)
  first.place, first.lane, first.more = string.sub(members[1], 10, 19), string.sub(members[1], 20), #members > 1
end

-- The message whose turn it is, by the rule of order; nil: no lane is open.
local function choose()
  local best, best_rank, least
  for level = levels - 1, 0, -1 do
    local first = first_of(level)
    if first then
      least = math.min(least or WRAP, ahead(first.tag))
      if not first.flow then
        -- All of them rest.
      elseif aging_ms > 0 then
        first_lane(first)
        local rank = due_of_place(first.place) - level * aging_ms
        if not best or rank < best_rank then best, best_rank = first, rank end
      elseif not best then
        best = first
      end
    end
  end
  if least then virtual = (virtual + least) % WRAP end
  if not best then return nil end
  first_lane(best)
  return best
end

-- The tags that the virtual time has passed go; all of them where a claim has found no open lane.
local function flows_end(most, is_idle)
  if is_idle then
    if virtual_was ~= 0 or virtual ~= 0 then rc('HDEL', K.meta, 'virtual') end
    rc('UNLINK', K.tags)
    return
  end
  if virtual ~= virtual_was then rc('HSET', K.meta, 'virtual', string.format('%.0f', virtual)) end
  local from = (virtual + WRAP / 2) % WRAP
  local passed
  if from > virtual then
    passed = rc('ZRANGE', K.tags, 0, string.format('%.0f', virtual), 'BYSCORE', 'LIMIT', 0, most)
    local wrapped = rc('ZRANGE', K.tags, string.format('%.0f', from), '+inf', 'BYSCORE', 'LIMIT', 0, most)
    for i = 1, #wrapped do passed[#passed + 1] = wrapped[i] end
  else
    passed = rc('ZRANGE', K.tags, string.format('%.0f', from), string.format('%.0f', virtual), 'BYSCORE', 'LIMIT', 0, most)
  end
  if #passed > 0 then rc('ZREM', K.tags, unpack(passed)) end
end
