#!lua flags=allow-oom
-- operation_take: a node takes up an operation that nobody carries out, or not any more.
-- include: operations
--
-- ARGV[1] token   ARGV[2] lease_ms   ARGV[3...] ids that the caller cannot read
-- Returns {id, definition, progress, who asked to stop it or ''}, or {}: there is none
--
-- Safe to repeat: the one that this token has is given again first.
local token, lease_ms = ARGV[1], tonumber(ARGV[2])
local free
local unreadable = {}
for i = 3, #ARGV do unreadable[ARGV[i]] = true end
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
return { free, rc('HGET', O.definitions, free) or '', rc('HGET', O.progress, free) or '',
  rc('HGET', O.stops, free) or '' }
