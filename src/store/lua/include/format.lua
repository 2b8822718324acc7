-- include: beat
-- Which version new records are written as (see store/wire/format.rs): the newest that every node reads.
--
-- In schema: the newest version that may stand in the namespace; programs that do not read it refuse to start. In clock,
-- raised_ms: when it was raised last. A program that had read the lower version before that may still start, and shows
-- itself before it claims: for that time the version before is written, and for as long as such a node is there.
local RECORD_VERSION, RECORD_VERSION_OLDEST = RUST.RECORD_VERSION, RUST.RECORD_VERSION_OLDEST
local SETTLE_MS = RUST.FORMAT_SETTLE_MS

-- What the nodes say of themselves that do not say that they read the newest version, or their ids. A node that was lost
-- counts until it is forgotten: it may only stand still.
local function nodes_behind()
  local behind = {}
  for _, id in ipairs(rc('ZRANGE', K.nodes, 0, -1)) do
    if #id == 12 and not string.find(id, '%W') then
      local info = rc('HGET', K.infos, id) or id
      local reads = tonumber(string.match(info, '"record_version":(%d+)') or RECORD_VERSION_OLDEST)
      if reads < RECORD_VERSION then behind[#behind + 1] = info end
    end
  end
  return behind
end

-- After the registry may have been deleted together with schema: for so long every node that runs shows itself again, before
-- it is taken for certain that none is behind.
local function is_restored_long_ago()
  local since_ms = now_ms - tonumber(rc('HGET', K.clock, 'restored_ms') or 0)
  return since_ms < 0 or since_ms >= SETTLE_MS
end

local function schema_to_be(schema, known, behind, raises)
  -- A new namespace.
  if schema == 0 and known == 0 then return #behind == 0 and RECORD_VERSION or RECORD_VERSION_OLDEST end
  -- Deleted, or replaced by what was there before it was raised; records of the newer version may still be there.
  if schema < known then return known end
  if schema < RECORD_VERSION and raises and #behind == 0 and is_restored_long_ago() then return RECORD_VERSION end
  return schema
end

-- known: the newest version that the caller has found here so far, or 0. raises: raise it now, if it can be. Returns the
-- newest version that may stand here, the one that new records are written as, and the nodes behind.
local function format_now(known, raises)
  local behind, schema = nodes_behind(), tonumber(rc('GET', K.schema) or 0)
  -- Somebody wrote something else there: it is reported elsewhere, and what all nodes read is written.
  if not schema then return known, RECORD_VERSION_OLDEST, behind end
  local now = schema_to_be(schema, known, behind, raises)
  if now ~= schema then
    rc('SET', K.schema, now)
    if schema > 0 then rc('HSET', K.clock, 'raised_ms', now_ms) end
    if schema < known then rc('HSET', K.clock, 'restored_ms', now_ms) end
  end
  local since_ms = now_ms - tonumber(rc('HGET', K.clock, 'raised_ms') or 0)
  local is_settled = since_ms < 0 or since_ms >= SETTLE_MS
  local is_newest = now >= RECORD_VERSION and is_settled and #behind == 0
  return now, is_newest and RECORD_VERSION or RECORD_VERSION_OLDEST, behind
end
