#!lua flags=allow-oom
-- keep: one write outside the shards that goes on at maxmemory, where Redis would refuse the bare command.
-- include: one
--
-- args: command value...
-- value: what follows the key.
-- returns: answer
-- answer: as Redis gives it, not in a list.
--
-- Safe to repeat: as far as the command is; callers set fields and scores.
return rc(command, K.key, unpack(ARGV, ROWS_FROM))
