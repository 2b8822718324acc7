-- include: finish
-- What the verbs do for messages with a collapse key (docs/collapse.md). Whoever has none has no optional fields in its state
-- that tell of one, and costs nothing here. `superseded`: how many messages were cancelled, since newer ones take their places.
-- One table, made when it is used, since a script has room for 200 locals.
local collapse = setmetatable({ finish = finish, superseded = 0 }, { __index = function(collapse, name)
  -- include: collapse/index
  local steps = {
    again = function(ulid, s, record, keep_ms)
      local is_cancelled = collapse_again(ulid, s, record, keep_ms)
      if is_cancelled then collapse.superseded = collapse.superseded + 1 end
      return is_cancelled
    end,
    begin = function(ulid, s)
      local hash = collapse_hash(s)
      if hash then collapse_write(hash, ulid) end
    end,
    ends = collapse_ends, doubted = collapse_doubted, has_newer = collapse_has_newer,
  }
  for step, act in pairs(steps) do collapse[step] = act end
  return steps[name]
end })

local function finish(ulid, s, record, keep_ms)
  collapse.finish(ulid, s, record, keep_ms)
  if s.fields ~= '' then collapse.ends(ulid, s) end
end
