#!lua
-- schedule: messages wait until they are due, outside of the index. Rows: ulid, record, due time, ms, '1' where an attempt has
-- begun.
local rc = redis.call
for at = 9 + 5 * tonumber(ARGV[8]), #ARGV, 4 do
  rc('HSET', K.records, ARGV[at], ARGV[at + 1])
  rc('ZADD', K.due, ARGV[at + 2], ARGV[at] .. ARGV[at + 3])
end
return 1
