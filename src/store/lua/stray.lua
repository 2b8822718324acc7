#!lua flags=no-writes
-- stray: a reading. Streams of the inbox on this server, so that those of unknown queues are found.
-- include: inbox
--
-- ARGV[1] a pattern   ARGV[2] most keys that are looked at: a server with more is not looked through
-- Returns {1 if it was looked through, keys...}
--
-- Safe to repeat: it writes nothing.
if rc('DBSIZE') > tonumber(ARGV[2]) then return { 0 } end
local reply, cursor = { 1 }, '0'
repeat
  local page = rc('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000, 'TYPE', 'stream')
  cursor = page[1]
  for _, key in ipairs(page[2]) do reply[#reply + 1] = key end
until cursor == '0'
return reply
