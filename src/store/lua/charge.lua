#!lua flags=allow-oom
-- charge: units of a shared quota that somebody else used, or, below zero, gave back: an operator's step.
-- include: shared
--
-- args: node limit_lines units:number key fingerprint keep_ms:number
-- node: 12 bytes, who remembers what was used. key: an idempotency key, or ''. fingerprint: of what came with it. keep_ms: for how
-- long keys are recognised, at least.
-- returns: code:number now_ms:number
-- Codes: 0 charged, 1 the same was charged under this key, 2 something else was.
--
-- Safe to repeat with a key, and not without one. What was used never falls below zero, and may be more than the quota.
local limits = limits_read(limit_lines, 0)
local limit = limits[1]
if key ~= '' then
  if now_ms - tonumber(rc('HGET', K.meta, 'turned') or 0) > keep_ms then
    if rc('EXISTS', K.idem_new) == 1 then rc('RENAME', K.idem_new, K.idem_old) else rc('UNLINK', K.idem_old) end
    rc('HSET', K.meta, 'turned', now_ms)
  end
  local known = rc('HGET', K.idem_new, key) or rc('HGET', K.idem_old, key)
  if known then return REPLY { code = known == fingerprint and 1 or 2, now_ms = now_ms } end
  rc('HSET', K.idem_new, key, fingerprint)
end
limit.is_changed = true
limit.used[1] = math.max(0, limit.used[1] + units)
if units > 0 then limit.taken = { units, 0 } end
limits_save(limits, node)
count_for(CHARGED, limit, { units, 0 })
return REPLY { code = 0, now_ms = now_ms }
