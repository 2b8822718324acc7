-- include: shard ulid
-- What held the queue while a message waited is kept with its last words when it becomes final, if that is so long after it was handed over
-- that somebody may ask (see domain/waited.rs): the entries of `held` (see hold_book) that reach into its life, and what holds still.
local WAITED_MS = RUST.WAITED_MS
local waited_before, holds

local function holds_until_now()
  local m = rc('HMGET', K.meta, 'held', 'pause_since', 'pause_until', 'shut_since', 'gate_until', 'closed_since', 'closed_until')
  local found = {}
  for entry, from_ms, span_ms in string.gmatch(m[1] or '', '((%a%d+)%+(%d+)%S*)') do
    found[#found + 1] = { entry = entry, ended = ulid_of_moment(tonumber(string.sub(from_ms, 2)) + tonumber(span_ms)) }
  end
  for at, kind in pairs({ [2] = 'p', [4] = 'g', [6] = 'w' }) do
    local since_ms, until_ms = tonumber(m[at] or nil), tonumber(m[at + 1] or 0)
    local ended_ms = until_ms > 0 and math.min(until_ms, now_ms) or now_ms
    if since_ms and ended_ms > since_ms then
      local entry = string.format('%s%.0f+%.0f', kind, since_ms, ended_ms - since_ms)
      found[#found + 1] = { entry = entry, ended = ulid_of_moment(ended_ms) }
    end
  end
  return found
end

-- The tail with what held the queue; as it was where the message is too young. What stands there from a final state before goes.
local function hold_tail(ulid, tail)
  waited_before = waited_before or ulid_of_moment(now_ms - WAITED_MS)
  if ulid >= waited_before then return tail end
  holds = holds or holds_until_now()
  local held = {}
  for _, hold in ipairs(holds) do
    if hold.ended > ulid then held[#held + 1] = hold.entry end
  end
  local words = string.match(tail, '^{(.*)}$')
  if not words and tail ~= '' then return tail end
  words = string.gsub(string.gsub(words or '', ',?"h":"[^"]*"', ''), '^,', '')
  return '{' .. words .. (words ~= '' and ',' or '') .. '"h":"' .. table.concat(held, ' ') .. '"}'
end
