#!lua flags=no-writes
-- find: the message that an idempotency key belongs to.
-- include: shard idempotency
--
-- args: key
-- returns: ulid
-- ulid: '' where there is none.
return REPLY { ulid = (idempotency_find(key)) or '' }
