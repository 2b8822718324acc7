#!lua
-- draw: in the stream → being taken. Entries that somebody left behind, then those that came.
-- include: inbox
--
-- ARGV[1] the group, which is its one consumer too   ARGV[2] most entries
-- ARGV[3] left behind: drawn so long ago, and not digested, ms
-- Returns per entry: its id, the list of its fields and values
--
-- Safe to repeat: what a lost reply drew comes again after ARGV[3]. Nodes share one consumer, so that none
-- that died has to be swept away: what it drew counts by its age alone.
local group, most = ARGV[1], tonumber(ARGV[2])
if rc('TYPE', K.stream)['ok'] ~= 'stream' then return {} end
local made = redis.pcall('XGROUP', 'CREATE', K.stream, group, '0')
if made['err'] and not string.find(made['err'], 'BUSYGROUP', 1, true) then return made end
local reply = {}
local function add(entries)
  for _, entry in ipairs(entries) do
    if entry and entry[2] then reply[#reply + 1], reply[#reply + 2] = entry[1], entry[2] end
  end
end
add(rc('XAUTOCLAIM', K.stream, group, group, ARGV[3], '0-0', 'COUNT', most)[2])
local left = most - #reply / 2
if left > 0 then
  local came = rc('XREADGROUP', 'GROUP', group, group, 'COUNT', left, 'STREAMS', K.stream, '>')
  if came then add(came[1][2]) end
end
return reply
