-- include: writes
-- Exchanges that ended with this call give their slot back: a list of tokens, 20 bytes each.
local function end_exchanges(tokens)
  for from = 1, #tokens, 20 do gather('ZREM', K.exchanges, string.sub(tokens, from, from + 19)) end
end
