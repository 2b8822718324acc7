#!lua flags=no-writes
-- holds: what of their keys holds ready messages of a queue with keys now.
-- include: rows lanes/index
--
-- args: keys_in_force ulid...
-- keys_in_force: as claim.
-- returns: (limits ahead is_turn:flag)...
-- limits: a line for each limit by key that holds the message: 'NAME MOMENT_US', or 'NAME -' where nobody can know when it opens (a
-- call has to end, or the message costs more than a whole quota). ahead:
-- the ULID of the message of its order key that goes before it, or ''. is_turn: its flow has the turn in its level, or nothing goes by
-- flows. A message that is not ready, or of which the caller knows another structure, has none of these.
local lead_us, horizon_us, before_us, limit_lines, granted = 0, 0, 0, '', nil
local reply = {}

local function ask()
  -- include: lanes/turns lanes/limits
  -- The limits in the order of the configuration.
  local in_order, by_name = {}, {}
  for _, limit in ipairs(structure.limits) do by_name[limit.name] = limit end
  for name in string.gmatch(keys_in_force, '%l+ (%S+) [^\n]+\n') do in_order[#in_order + 1] = by_name[name] end

  -- When a limit lets the whole lane go on, where it holds that now: what stands behind a head waits for it too.
  local function lane_opens_at(limit, seat, h)
    if not h or (h.state ~= 'o' and h.state ~= 'p') then return 0 end
    local blocker = limit.is_of_flow and limit.id .. h.flow or limit.id .. (seat.keys[limit.per] or NONE)
    if not limit.is_of_flow and h.blocker ~= blocker then return 0 end
    return moment_of(rc('ZSCORE', K.waits, blocker)) or 0
  end

  local function limits_that_hold(seat, h, cost)
    local lines = {}
    for _, limit in ipairs(in_order) do
      local blocker = limit.id .. (seat.keys[limit.per] or NONE)
      local opens_us = opens_at(limit, blocker, cost)
      opens_us = math.max(opens_us, lane_opens_at(limit, seat, h))
      if opens_us > now_us then
        local is_known = opens_us < math.huge and not (limit.kind == 'quota' and cost > terms_of(limit, blocker).units)
        lines[#lines + 1] = limit.name .. ' ' .. (is_known and string.format('%.0f', opens_us) or '-') .. '\n'
      end
    end
    return table.concat(lines)
  end

  -- Who goes before a message in its lane of order.
  local function ahead_of(seat, h, ulid)
    if not seat.is_ordered or not h or h.ulid == ulid then return '' end
    if h.state ~= 'f' then return h.ulid end
    local first = with_prefix(K.rest, seat.lane, 1)[1]
    local first_ulid = first and string.sub(first, 19) or ulid
    return first_ulid ~= ulid and first_ulid or ''
  end

  local function has_turn(seat)
    if not structure.fair_by then return true end
    local first = first_of(seat.level)
    return not first or not first.flow or first.flow == seat.flow
  end

  return function(ulid, record, s)
    local seat = seat_of(record, s)
    local h = lane_read(seat.lane)
    return limits_that_hold(seat, h, record_cost(record)), ahead_of(seat, h, ulid), has_turn(seat)
  end
end

local is_known = is_laned and rc('HGET', K.meta, 'structure_number') == string.match(keys_in_force, '^%d+')
local answer = is_known and ask()
local records, states = load(ulids)
for i, ulid in ipairs(ulids) do
  local s = states[i]
  local limits, ahead, is_turn = '', '', true
  if answer and s and s.state == 'w' and not rc('ZSCORE', K.due, entry_of(ulid, s)) then
    limits, ahead, is_turn = answer(ulid, records[i], s)
  end
  REPLY_ROW { limits = limits, ahead = ahead, is_turn = is_turn }
end
return reply
