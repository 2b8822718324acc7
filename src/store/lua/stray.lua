#!lua flags=no-writes
-- stray: a reading. Streams of the inbox on this server, so that those of unknown queues are found.
-- include: inbox
--
-- args: pattern keys_max:number
-- keys_max: that are looked at; a server with more is not looked through.
-- returns: is_complete:flag key...
-- is_complete: it was looked through.
--
-- Safe to repeat: it writes nothing.
if rc('DBSIZE') > keys_max then return REPLY { is_complete = false } end
local reply, cursor = REPLY { is_complete = true }, '0'
repeat
  local page = rc('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000, 'TYPE', 'stream')
  cursor = page[1]
  for _, key in ipairs(page[2]) do reply[#reply + 1] = key end
until cursor == '0'
return reply
