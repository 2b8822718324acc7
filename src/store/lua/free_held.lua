#!lua flags=allow-oom
-- free_held: scheduled → scheduled or ready. A message that waits for the one before it of its collapse key goes on, where that
-- one is decided and nobody has set it free.
-- include: shard collapse/index
--
-- args: rank:number most:number keep_ms:number
-- rank: of the first of those that wait so which is looked at. keep_ms: of cancelled messages.
-- returns: now_ms:number next_rank:number freed:number superseded:number
-- next_rank: 0 after the last. freed: entries that were not as they should be. superseded: messages that were cancelled.
--
-- The scripts that decide the older message set the newer one free at once; a node of an earlier version does not. Safe to
-- repeat: what is right stays as it is.
local entries = rc('ZRANGE', K.due, COLLAPSE_NEVER_MS, COLLAPSE_NEVER_MS, 'BYSCORE', 'LIMIT', rank, most)
local freed, superseded = 0, 0
for _, entry in ipairs(entries) do
  local ulid = string.sub(entry, 1, 26)
  local s = collapse_living(ulid)
  local hash = s and collapse_hash(s)
  if hash then
    local was_wrong, was_older_cancelled = collapse_review(hash, true, keep_ms)
    local first, newer = collapse_read(hash)
    -- No entry names it: it goes on, unless there is another one of its key.
    if newer ~= ulid and collapse_is_held(ulid, s) then
      was_wrong = true
      if not collapse_living(first) then
        collapse_write(hash, ulid)
        collapse_free(ulid)
      elseif newer then
        leave_waiting(ulid, s)
        collapse_cancel(ulid, s, nil, keep_ms)
        superseded = superseded + 1
      else
        collapse_write(hash, first, ulid)
      end
    end
    if was_wrong then freed = freed + 1 end
    if was_older_cancelled then superseded = superseded + 1 end
  end
end
return REPLY { now_ms = now_ms, next_rank = #entries < most and 0 or rank + #entries - freed, freed = freed, superseded = superseded }
