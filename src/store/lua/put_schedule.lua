#!lua
-- put_schedule: the definition of a schedule is written, a new one or in place of the one before.
-- include: schedules
--
-- args: name definition cadence first_ms node schedules_max:number
-- first_ms: its first tick from now on. node: the one that has it in its configuration; '' for the API.
-- returns: now_ms:number code:number is_taken:flag
-- Codes: 0 new, 1 changed, 2 it was so already, 3 it is the configuration's and not the API's to change, 4 too many.
-- is_taken: it was the API's and is the configuration's now.
--
-- A cadence that stays keeps its next tick, so that what is overdue is still caught up; another cadence
-- begins from now. Safe to repeat: the second time it was so already (and is written all the same, so
-- that a durability wait covers the first).
local state = state_of_schedule(name)
local holders = rc('HGET', K.held, name)
if node == '' and holders then return REPLY { now_ms = now_ms, code = 3, is_taken = false } end
if not state and rc('ZCARD', K.names) >= schedules_max then return REPLY { now_ms = now_ms, code = 4, is_taken = false } end
local code, is_taken = 1, false
if not state then
  code, state = 0, { v = 0, c = 0, m = 0 }
elseif rc('HGET', K.definitions, name) == definition then
  code = 2
end
if node ~= '' then
  if not holders then
    is_taken = code ~= 0
    rc('HSET', K.held, name, node)
  elseif not string.find(',' .. holders .. ',', ',' .. node .. ',', 1, true) then
    rc('HSET', K.held, name, holders .. ',' .. node)
  end
end
if code ~= 2 then
  state.v = state.v + 1
  if not state.p and (state.k ~= cadence or not rc('ZSCORE', K.next, name)) then
    next_keep(name, first_ms)
  end
  state.k = cadence
  rc('ZADD', K.names, 0, name)
end
rc('HSET', K.definitions, name, definition)
state_keep(name, state)
if code ~= 2 then wake_sweepers() end
return REPLY { now_ms = now_ms, code = code, is_taken = is_taken }
