#!lua
-- put_schedule: the definition of a schedule is written, a new one or in place of the one before.
-- include: schedules
--
-- ARGV[1] name   ARGV[2] definition   ARGV[3] cadence   ARGV[4] its first tick from now on, ms
-- ARGV[5] the node that has it in its configuration; '' for the API   ARGV[6] most schedules
-- Returns {now_ms, code, 1 if it was the API's and is the configuration's now else 0}; codes: 0 new, 1
--         changed, 2 it was so already, 3 it is the configuration's and not the API's to change, 4 too many
--
-- A cadence that stays keeps its next tick, so that what is overdue is still caught up; another cadence
-- begins from now. Safe to repeat: the second time it was so already (and is written all the same, so
-- that a durability wait covers the first).
local name, definition, node = ARGV[1], ARGV[2], ARGV[5]
local state = state_of_schedule(name)
local holders = rc('HGET', K.held, name)
if node == '' and holders then return { now_ms, 3, 0 } end
if not state and rc('ZCARD', K.names) >= tonumber(ARGV[6]) then return { now_ms, 4, 0 } end
local code, taken = 1, 0
if not state then
  code, state = 0, { v = 0, c = 0, m = 0 }
elseif rc('HGET', K.definitions, name) == definition then
  code = 2
end
if node ~= '' then
  if not holders then
    taken = code == 0 and 0 or 1
    rc('HSET', K.held, name, node)
  elseif not string.find(',' .. holders .. ',', ',' .. node .. ',', 1, true) then
    rc('HSET', K.held, name, holders .. ',' .. node)
  end
end
if code ~= 2 then
  state.v = state.v + 1
  if not state.p and (state.k ~= ARGV[3] or not rc('ZSCORE', K.next, name)) then
    next_keep(name, ARGV[4])
  end
  state.k = ARGV[3]
  rc('ZADD', K.names, 0, name)
end
rc('HSET', K.definitions, name, definition)
state_keep(name, state)
if code ~= 2 then wake_sweepers() end
return { now_ms, code, taken }
