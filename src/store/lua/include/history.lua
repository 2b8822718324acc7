-- include: writes
-- Past attempts of a message, one line of JSON each, the newest last; bounded.
local HISTORY_LINES_MAX = 20

local function remember(ulids, lines)
  local pasts = hmget(K.history, ulids)
  for i, ulid in ipairs(ulids) do
    local past = pasts[i] or ''
    local _, count = string.gsub(past, '\n', '')
    if count >= HISTORY_LINES_MAX then past = string.sub(past, string.find(past, '\n', 1, true) + 1) end
    gather('HSET', K.history, ulid, past .. lines[i] .. '\n')
  end
end
