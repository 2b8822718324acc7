-- include: lanes/stand
-- Whose turn it is. A flow whose lanes were refused so often in a call has no turn while another flow has one, so that a flood that
-- has just come in does not hold up the others while its lanes are parked.
local REFUSALS_MAX = 8
local resting, resting_count = {}, 0

-- A limit by the key of the flow holds it.
local function flow_waits(flow, blocker, moment_us)
  local f = flow_of(flow)
  for level = 0, structure.levels - 1 do
    if f.at[level] then flow_closes(flow, level) end
  end
  waits_set(blocker, moment_us)
  f.held_until_us = moment_us
end

local function flow_goes_on(flow)
  for _, limit in ipairs(structure.of_flows) do waits_remove(limit.id .. flow) end
  flow_of(flow).held_until_us = nil
  for level = 0, structure.levels - 1 do
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

-- The first flow of a level, resting or not, decides the virtual time; the first that does not rest has the turn.
local function turn_first(level)
  local most = resting_count + 1
  local found = rc('ZRANGE', TURNS[level], tag_text(virtual), '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  if #found < 2 * most then
    local wrapped = rc('ZRANGE', TURNS[level], 0, '(' .. tag_text(virtual), 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
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

-- more: whether the flow has other open lanes at this level.
local function first_lane(first)
  if first.lane then return end
  local members = with_prefix(K.open, string.char(first.level) .. first.flow, 2)
  first.place, first.lane, first.more = string.sub(members[1], 10, 19), string.sub(members[1], 20), #members > 1
end

local function choose_among_turns()
  local best, best_rank, least
  for level = structure.levels - 1, 0, -1 do
    local first = first_of(level)
    if first then least = math.min(least or WRAP, ahead(first.tag)) end
    if first and first.flow and structure.aging_ms > 0 then
      first_lane(first)
      local rank = due_of_place(first.place) - level * structure.aging_ms
      if not best or rank < best_rank then best, best_rank = first, rank end
    elseif first and first.flow and not best then
      best = first
    end
  end
  -- The virtual time stays behind the least tag, so that a flow that comes, or goes on after a limit held it, goes before those that are
  -- next already: else a flow that its limit holds would lose a slot at each opening, and with it a part of its rate.
  if least then virtual = (virtual + math.max(0, least - 1)) % WRAP end
  if best then first_lane(best) end
  return best
end

-- The lane whose turn it is by the rule of order: lane, level, flow, place and more; nil: none is open.
local function choose()
  local first = choose_among_turns()
  if first or resting_count == 0 then return first end
  -- Where nobody else has a turn, nobody rests.
  flows_wake()
  return choose_among_turns()
end
