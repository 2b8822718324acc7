#!lua flags=no-writes
-- find: the message that an idempotency key belongs to.
-- include: shard idempotency
--
-- ARGV[1] key
-- Returns {ulid or ''}
return { idempotency_find(ARGV[1]) or '' }
