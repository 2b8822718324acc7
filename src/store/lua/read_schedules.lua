#!lua flags=no-writes
-- read_schedules: one schedule by its name, or a page of them in the order of their names.
-- include: schedules
--
-- ARGV[1] name, or '' for a page   ARGV[2] the name after which the page begins   ARGV[3] most of them
-- Returns {now_ms, 1 if there are more else 0, then for each: name, 1 if it is the configuration's else 0,
--         next nominal time or -1, state, what is under way or '', definition}
local names = { ARGV[1] }
local more = 0
if ARGV[1] == '' then
  local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
  names = rc('ZRANGE', K.names, from, '+', 'BYLEX', 'LIMIT', 0, tonumber(ARGV[3]) + 1)
  if #names > tonumber(ARGV[3]) then
    names[#names] = nil
    more = 1
  end
end
local reply = { now_ms, more }
for _, name in ipairs(names) do
  local definition, state = rc('HGET', K.definitions, name), rc('HGET', K.states, name)
  if definition and state then
    local n, intent = #reply, rc('HGET', K.intents, name)
    reply[n + 1], reply[n + 2] = name, rc('HEXISTS', K.held, name)
    reply[n + 3] = tonumber(rc('ZSCORE', K.next, name) or -1)
    reply[n + 4], reply[n + 6] = state, definition
    reply[n + 5] = intent and string.match(intent, '^[^\n]*') or ''
  end
end
return reply
