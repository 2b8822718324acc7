-- include: shard
-- Books in meta that something held the whole queue, for those who ask later what a message waited for (see hold_tail).
--
--   held   '<kind><from_ms>+<span_ms>[/<held_ms>] ...'
--
-- Kinds: p the queue was paused, g its gate was shut, w its window was closed. Of each kind so many are kept; beyond them the two oldest
-- become one, of which held_ms is how much of its span it held.
local HOLDS_MAX = RUST.HOLDS_MAX

local function hold_book(kind, from_ms, until_ms)
  if until_ms <= from_ms then return end
  local entries, same = {}, {}
  for entry in string.gmatch(rc('HGET', K.meta, 'held') or '', '%S+') do
    entries[#entries + 1] = entry
    if string.sub(entry, 1, 1) == kind then same[#same + 1] = #entries end
  end
  if #same >= HOLDS_MAX then
    local first_ms, first_span_ms, first_held_ms = string.match(entries[same[1]], '(%d+)%+(%d+)/?(%d*)')
    local next_ms, next_span_ms, next_held_ms = string.match(entries[same[2]], '(%d+)%+(%d+)/?(%d*)')
    local held_ms = (tonumber(first_held_ms) or tonumber(first_span_ms)) + (tonumber(next_held_ms) or tonumber(next_span_ms))
    entries[same[2]] = string.format('%s%s+%.0f/%.0f', kind, first_ms, tonumber(next_ms) + tonumber(next_span_ms) - tonumber(first_ms), held_ms)
    table.remove(entries, same[1])
  end
  entries[#entries + 1] = string.format('%s%.0f+%.0f', kind, from_ms, until_ms - from_ms)
  rc('HSET', K.meta, 'held', table.concat(entries, ' '))
end
