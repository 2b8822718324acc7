#!lua
-- draw: in the stream → being taken. Entries that somebody left behind, in half of the places at most, and those that came: what waits
-- for the backlog of its key is left behind again and again, and must not keep the others from being drawn.
-- include: inbox
--
-- args: group most:number left_behind_ms:number from
-- group: its one consumer has the same name. left_behind_ms: drawn so long ago, and not digested. from: the id
-- from which on such entries are looked for.
-- returns: next (id fields:list)...
-- next: where to look on for entries that were left behind; '': there are no more. fields: names and values.
--
-- Safe to repeat: what a lost reply drew comes again after ARGV[3]. Nodes share one consumer, so that none
-- that died has to be swept away: what it drew counts by its age alone.
if rc('TYPE', K.stream)['ok'] ~= 'stream' then return REPLY { next = '' } end
local made = redis.pcall('XGROUP', 'CREATE', K.stream, group, '0')
if made['err'] and not string.find(made['err'], 'BUSYGROUP', 1, true) then return made end
local reply = REPLY { next = '' }
local function add(entries)
  for _, entry in ipairs(entries) do
    if entry and entry[2] then REPLY_ROW { id = entry[1], fields = entry[2] } end
  end
end
local claimed = rc('XAUTOCLAIM', K.stream, group, group, left_behind_ms, from, 'COUNT', math.ceil(most / 2))
add(claimed[2])
if claimed[1] ~= '0-0' then reply[REPLY.next] = claimed[1] end
local left = most - (#reply - 1) / 2
if left > 0 then
  local came = rc('XREADGROUP', 'GROUP', group, group, 'COUNT', left, 'STREAMS', K.stream, '>')
  if came then add(came[1][2]) end
end
return reply
