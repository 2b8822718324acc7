#!lua flags=allow-oom
-- operation_take: a node takes up an operation that nobody carries out, or not any more.
-- include: operations
--
-- args: token lease_ms:number unreadable_id...
-- unreadable_id: one that the caller cannot read.
-- returns: [id definition progress stopped_by]
-- Nothing where there is none. stopped_by: who asked to stop it, or ''.
--
-- Safe to repeat: the one that this token has is given again first.
local free
local unreadable = {}
for i = 1, ROWS do unreadable[ROW[i].unreadable_id] = true end
for _, id in ipairs(rc('ZRANGE', O.running, 0, -1)) do
  local deadline, holder = lease_of(id)
  if holder == token then
    free = id
    break
  end
  -- A deadline that is too far ahead is of a clock that was set back since.
  local is_free = not free and (deadline <= now_ms or deadline > now_ms + lease_ms)
  if is_free and not unreadable[id] and rc('HEXISTS', O.definitions, id) == 1 then free = id end
end
if not free then return {} end
lease_keep(free, token, lease_ms)
return REPLY {
  id = free,
  definition = rc('HGET', O.definitions, free) or '',
  progress = rc('HGET', O.progress, free) or '',
  stopped_by = rc('HGET', O.stops, free) or '',
}
