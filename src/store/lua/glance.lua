#!lua flags=no-writes
-- glance: a reading. How much lies in streams of the inbox, and since when.
-- include: inbox
--
-- returns: (entries:number oldest)...
-- A row for each key. entries: -1: it is not a stream. oldest: the id, or ''.
--
-- Safe to repeat: it writes nothing.
local reply = {}
for _, key in ipairs(KEYS) do
  local kind, length, oldest = rc('TYPE', key)['ok'], 0, ''
  if kind == 'stream' then
    length = rc('XLEN', key)
    local first = rc('XRANGE', key, '-', '+', 'COUNT', 1)[1]
    if first then oldest = first[1] end
  elseif kind ~= 'none' then
    length = -1
  end
  REPLY_ROW { entries = length, oldest = oldest }
end
return reply
