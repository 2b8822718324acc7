#!lua
-- reject: an entry that cannot be taken is kept with the reason, as far as there is room.
-- include: inbox
--
-- args: kept_max:number (name value)...
-- kept_max: entries, about. name, value: of a field.
-- returns: kept:number
-- kept: entries.
--
-- Safe to repeat: a lost reply may keep an entry twice, under two ids; its own id stands in `entry`.
rc('XADD', K.stream, 'MAXLEN', '~', kept_max, '*', unpack(ARGV, ROWS_FROM))
return REPLY { kept = rc('XLEN', K.stream) }
