#!lua
-- draw: in the stream → being taken. Entries that somebody left behind, then those that came.
-- include: inbox
--
-- args: group most:number left_behind_ms:number
-- group: its one consumer has the same name. left_behind_ms: drawn so long ago, and not digested.
-- returns: (id fields:list)...
-- fields: names and values.
--
-- Safe to repeat: what a lost reply drew comes again after ARGV[3]. Nodes share one consumer, so that none
-- that died has to be swept away: what it drew counts by its age alone.
if rc('TYPE', K.stream)['ok'] ~= 'stream' then return {} end
local made = redis.pcall('XGROUP', 'CREATE', K.stream, group, '0')
if made['err'] and not string.find(made['err'], 'BUSYGROUP', 1, true) then return made end
local reply = {}
local function add(entries)
  for _, entry in ipairs(entries) do
    if entry and entry[2] then REPLY_ROW { id = entry[1], fields = entry[2] } end
  end
end
add(rc('XAUTOCLAIM', K.stream, group, group, left_behind_ms, '0-0', 'COUNT', most)[2])
local left = most - #reply / 2
if left > 0 then
  local came = rc('XREADGROUP', 'GROUP', group, group, 'COUNT', left, 'STREAMS', K.stream, '>')
  if came then add(came[1][2]) end
end
return reply
