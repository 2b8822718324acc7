-- include: state
-- What final messages weigh: bytes of record, state entry and past attempts, as Redis is given them. Kept
-- where a queue limits them (see prune), so that nobody ever has to add them up.
--
-- In meta: weighing (the number of this weighing, 1 to 3; absent: none), weight_delivered (with expired
-- and cancelled), weight_dead, and weigh_at while those are weighed that were final before it began. Flags
-- 4 and 8 of a state entry carry the number under which it is in the sum: a new weighing begins from nothing.
local WEIGHT_OF = {
  D = 'weight_delivered', E = 'weight_delivered', C = 'weight_delivered', X = 'weight_dead',
}
local WEIGHINGS = 3
local weighing_number
local newly_final, weight_changes = {}, {}

-- 0: none. Asked for by who meets a final message.
local function weighing()
  weighing_number = weighing_number or tonumber(rc('HGET', K.meta, 'weighing') or 0)
  return weighing_number
end

local function weigh_begin()
  local number = tonumber(rc('HGET', K.meta, 'weighing_last') or 0) % WEIGHINGS + 1
  rc('HSET', K.meta, 'weighing', number, 'weighing_last', number, 'weigh_at', 'D:0',
    'weight_delivered', 0, 'weight_dead', 0)
  weighing_number = number
end

local function weigh_end()
  rc('HDEL', K.meta, 'weighing', 'weigh_at', 'weight_delivered', 'weight_dead')
  weighing_number = 0
end

local function weight(ulid)
  return rc('HSTRLEN', K.records, ulid) + rc('HSTRLEN', K.states, ulid) + rc('HSTRLEN', K.history, ulid)
end

local function is_weighed(s)
  local number = math.floor(s.flags / 4) % 4
  return number > 0 and number == weighing()
end

local function weight_changes_by(state, bytes)
  local field = WEIGHT_OF[state]
  weight_changes[field] = (weight_changes[field] or 0) + bytes
end

-- Before the entry of a final message is written: it is weighed once everything is.
local function weigh_in(ulid, s)
  if weighing() == 0 then return end
  s.flags = told_flags(s.flags) + s.flags % 4 + 4 * weighing()
  newly_final[ulid] = s.state
end

-- Many that were delivered now: entries and records alternate with their ulids.
local function weigh_in_delivered(ulids, states, records)
  local bytes = 0
  for i = 2, #states, 2 do bytes = bytes + #states[i] + #records[i] end
  if rc('HLEN', K.history) > 0 then
    for _, ulid in ipairs(ulids) do bytes = bytes + rc('HSTRLEN', K.history, ulid) end
  end
  weight_changes_by('D', bytes)
end

-- Before a final message goes, or is none any more; what it weighed in the sum.
local function weigh_out(ulid, s)
  if not s or not is_weighed(s) then return 0 end
  local bytes = weight(ulid)
  weight_changes_by(s.state, -bytes)
  return bytes
end

-- From here on a flush also brings the sums up to date.
local flush_writes = flush
local function flush()
  flush_writes()
  for ulid, state in pairs(newly_final) do weight_changes_by(state, weight(ulid)) end
  for field, bytes in pairs(weight_changes) do rc('HINCRBY', K.meta, field, bytes) end
  newly_final, weight_changes = {}, {}
end
