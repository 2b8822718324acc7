#!lua flags=allow-oom
-- digest: being taken → –. Entries whose messages are safe, or that were kept as rejected, leave the stream.
-- include: inbox
--
-- args: group id...
-- id: of an entry.
-- returns: digested:number
-- digested: how many were there.
--
-- Safe to repeat: what is gone stays gone.
rc('XACK', K.stream, group, unpack(ARGV, ROWS_FROM))
return REPLY { digested = rc('XDEL', K.stream, unpack(ARGV, ROWS_FROM)) }
