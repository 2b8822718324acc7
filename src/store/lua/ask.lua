#!lua flags=no-writes
-- ask: what of all that we do the caller may not do.
-- include: one
--
-- args: on_keys:number on_none:number word...
-- word: so many commands on keys, so many on none, then channels.
-- returns: denied...
-- denied: a command with its key or channel.
--
-- Safe to repeat: it writes nothing.
local reply = REPLY {}
local function ask(text, ...)
  local known, allowed = pcall(redis.acl_check_cmd, ...)
  if known and not allowed then REPLY_ROW { denied = text } end
end

for i = 1, on_keys do
  for _, key in ipairs(KEYS) do ask(ROW[i].word .. ' ' .. key, ROW[i].word, key, key, key) end
end
for _, key in ipairs(KEYS) do
  ask('EVALSHA ' .. key, 'EVALSHA', '0', '1', key)
  ask('XREADGROUP ' .. key, 'XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', key, '>')
  ask('XGROUP CREATE ' .. key, 'XGROUP', 'CREATE', key, 'g', '$')
end
for i = on_keys + 1, on_keys + on_none do ask(ROW[i].word, ROW[i].word) end
for i = on_keys + on_none + 1, ROWS do
  ask('PUBLISH ' .. ROW[i].word, 'PUBLISH', ROW[i].word, '0')
  ask('SUBSCRIBE ' .. ROW[i].word, 'SUBSCRIBE', ROW[i].word)
end
return reply
