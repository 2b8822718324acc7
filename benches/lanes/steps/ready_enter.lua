#!lua
-- ready_enter: today's form, without keys: messages come into the ready list. Rows as enter.
local rc = redis.call
local list = {}
for at = 9, #ARGV, 3 do
  rc('HSET', K.records, ARGV[at], ARGV[at + 1])
  list[#list + 1] = ARGV[at] .. '000'
end
rc('RPUSH', K.ready, unpack(list))
return #list
