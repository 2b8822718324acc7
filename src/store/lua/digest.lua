#!lua flags=allow-oom
-- digest: being taken → –. Entries whose messages are safe, or that were kept as rejected, leave the stream.
-- include: inbox
--
-- ARGV[1] the group   ARGV[2...] ids of entries
-- Returns {how many were there}
--
-- Safe to repeat: what is gone stays gone.
rc('XACK', K.stream, ARGV[1], unpack(ARGV, 2))
return { rc('XDEL', K.stream, unpack(ARGV, 2)) }
