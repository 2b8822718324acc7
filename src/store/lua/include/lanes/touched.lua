-- The messages whose state a call changes, each with the state that it has then, where a queue counts its backlog (see lanes/backlog);
-- and the records of those that have a new one.
local touched, touched_records = {}, {}
