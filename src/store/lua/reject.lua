#!lua
-- reject: an entry that cannot be taken is kept with the reason, as far as there is room.
-- include: inbox
--
-- ARGV[1] most entries kept, about   ARGV[2...] fields and values
-- Returns {entries kept}
--
-- Safe to repeat: a lost reply may keep an entry twice, under two ids; its own id stands in `entry`.
rc('XADD', K.stream, 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 2))
return { rc('XLEN', K.stream) }
