-- include: shard
-- The messages of this call: those that the rows of its arguments name.
local ulids = {}
for i = 1, ROWS do ulids[i] = ROW[i].ulid end
