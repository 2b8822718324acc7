#!lua
-- ready_settle: today's form, without keys. Rows as settle.
local rc = redis.call
local ulids = {}
for at = 9, #ARGV, 3 do ulids[#ulids + 1] = ARGV[at] end
rc('ZREM', K.leased, unpack(ulids))
rc('HDEL', K.states, unpack(ulids))
rc('HDEL', K.records, unpack(ulids))
return 1
