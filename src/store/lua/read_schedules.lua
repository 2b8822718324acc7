#!lua flags=no-writes
-- read_schedules: one schedule by its name, or a page of them in the order of their names.
-- include: schedules
--
-- args: wanted after most:number
-- wanted: a name, or '' for a page. after: the name after which the page begins.
-- returns: now_ms:number has_more:flag (name is_configured:flag next_ms:number state intent definition)...
-- is_configured: it is the configuration's. next_ms: the next nominal time, or -1. intent: what is under way, or ''.
local names, has_more = { wanted }, false
if wanted == '' then
  local from = after == '' and '-' or '(' .. after
  names = rc('ZRANGE', K.names, from, '+', 'BYLEX', 'LIMIT', 0, most + 1)
  if #names > most then
    names[#names] = nil
    has_more = true
  end
end
local reply = REPLY { now_ms = now_ms, has_more = has_more }
for _, name in ipairs(names) do
  local definition, state = rc('HGET', K.definitions, name), rc('HGET', K.states, name)
  if definition and state then
    local intent = rc('HGET', K.intents, name)
    REPLY_ROW {
      name = name,
      is_configured = rc('HEXISTS', K.held, name) == 1,
      next_ms = tonumber(rc('ZSCORE', K.next, name) or -1),
      state = state,
      intent = intent and string.match(intent, '^[^\n]*') or '',
      definition = definition,
    }
  end
end
return reply
