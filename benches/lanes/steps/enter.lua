#!lua
-- enter: messages that are ready come into the index. Rows: ulid, record, '1' where an attempt has begun.
-- include: settings record lanes flows limits index
for at = ROW, #ARGV, 3 do
  rc('HSET', K.records, ARGV[at], ARGV[at + 1])
  enter(ARGV[at], ARGV[at + 1], ARGV[at + 2] == '1')
end
return (#ARGV - ROW + 1) / 3
