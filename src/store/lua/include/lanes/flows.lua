-- include: lanes/structure lanes/heads
-- Start-time fair queueing (Goyal, Vin, Cheng 1996). A flow with an open lane has a start tag, and the least one goes first.
-- The script has `structure`.
--
--   turns:0 to turns:9   sorted sets, flow by start tag: the flows with an open lane of that level
--   tags                 sorted set, flow by start tag: the others whose tag the virtual time has not passed
--
-- Tags count on a circle of WRAP: every tag lies less than half of it ahead of the virtual time. A flow that a limit by its own
-- key holds keeps its lanes in `open` and has no turn; its blocker stands in `waits`.
local WRAP, TAG_OF_UNIT = 2 ^ 52, 1000000000
local TURNS = {
  [0] = K.turns_0, K.turns_1, K.turns_2, K.turns_3, K.turns_4, K.turns_5, K.turns_6, K.turns_7, K.turns_8, K.turns_9,
}
local virtual = tonumber(rc('HGET', K.meta, 'virtual') or 0)
local virtual_was = virtual
-- What is known of flows, and the first of each level, as far as it was looked at in this call.
local flows, firsts = {}, {}

local function tag_text(tag) return string.format('%.0f', tag) end

-- A moment as a score: Redis would write a number with 14 digits.
local function score_of(moment_us) return moment_us == math.huge and 'inf' or string.format('%.2f', moment_us) end

local function moment_of(score)
  if not score then return nil end
  return score == 'inf' and math.huge or tonumber(score)
end

local function ahead(tag) return (tag - virtual) % WRAP end

-- How many keys each limit holds: blockers come into `waits` and leave it here only.
local holds = {}
local function count_held(blocker, change)
  local id = string.byte(blocker)
  if id > 0 then holds[id] = (holds[id] or 0) + change end
end

local function waits_set(blocker, moment_us)
  count_held(blocker, rc('ZADD', K.waits, score_of(moment_us), blocker))
end

local function waits_remove(blocker) count_held(blocker, -rc('ZREM', K.waits, blocker)) end

local function flow_of(flow)
  local f = flows[flow]
  if f then return f end
  f = { standing = 0, at = {} }
  for level = 0, structure.levels - 1 do
    local tag = rc('ZSCORE', TURNS[level], flow)
    if tag then f.tag, f.at[level], f.standing = tonumber(tag), true, f.standing + 1 end
  end
  for _, limit in ipairs(structure.of_flows) do
    local until_us = moment_of(rc('ZSCORE', K.waits, limit.id .. flow))
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
  rc('ZADD', TURNS[level], tag_text(f.tag), flow)
end

local function has_open_lane(flow, level)
  return #with_prefix(K.open, string.char(level) .. flow, 1) > 0
end

-- Its last open lane of this level is open no more.
local function flow_closes(flow, level)
  firsts[level] = nil
  local f = flow_of(flow)
  if f.held_until_us or not f.at[level] then return end
  rc('ZREM', TURNS[level], flow)
  f.at[level], f.standing = nil, f.standing - 1
  local distance = ahead(f.tag)
  if f.standing == 0 and distance > 0 and distance < WRAP / 2 then
    rc('ZADD', K.tags, tag_text(f.tag), flow)
    f.is_kept = true
  end
end

-- Its tag moves by a share that was taken or, below zero, given back.
local function flow_moves(flow, share)
  local f = flow_of(flow)
  if not f.tag then return end
  local distance = ahead(f.tag)
  -- What lies behind the virtual time counts as nothing.
  if distance >= WRAP / 2 then return end
  f.tag = (virtual + math.max(0, math.min(distance + share, WRAP / 2 - 1))) % WRAP
  for level in pairs(f.at) do
    firsts[level] = nil
    rc('ZADD', TURNS[level], tag_text(f.tag), flow)
  end
  if f.is_kept then rc('ZADD', K.tags, tag_text(f.tag), flow) end
end

-- How far a tag moves for this cost: by the weight that the flow has now, which is what its key was given at run time (see own), or that
-- of the configuration. The field '' is the weight of all others.
local has_weights
local function share_of(flow, cost)
  local own_weight = in_force[5] and rc('HGET', K.key_values, '\0' .. flow)
  if own_weight then return math.floor(cost * TAG_OF_UNIT / tonumber(own_weight)) end
  if has_weights == nil then has_weights = rc('HLEN', K.weights) > 0 end
  local weight = 1000
  if has_weights then
    local own = rc('HMGET', K.weights, flow, '')
    weight = tonumber(own[1] or own[2] or weight)
  end
  return math.floor(cost * TAG_OF_UNIT / weight)
end

local function flows_save()
  if virtual ~= virtual_was then rc('HSET', K.meta, 'virtual', tag_text(virtual)) end
  virtual_was = virtual
  for id, change in pairs(holds) do
    if change ~= 0 then rc('HINCRBY', K.meta, 'held:' .. id, change) end
  end
  holds = {}
end
