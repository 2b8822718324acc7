-- include: lanes/index
-- How many messages wait in each of some lanes: lane 8, flow 8, messages u32.
local function lanes_profile(lanes_max)
  -- include: lanes/heads
  local found, cursor, looked_at = {}, '0', 0
  repeat
    local page = rc('HSCAN', K.heads, cursor, 'COUNT', 500)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local lane, raw = page[2][i], page[2][i + 1]
      looked_at = looked_at + 1
      if #found < lanes_max and #raw == HEAD_BYTES then
        local h = head_unpack(raw)
        local waiting = (h.state == 'o' or h.state == 'p') and 1 or 0
        if h.more then waiting = waiting + rc('ZLEXCOUNT', K.rest, '[' .. lane, '(' .. lane .. '\255') end
        if waiting > 0 then found[#found + 1] = struct.pack('>c8c8I4', lane, h.flow, waiting) end
      end
    end
  until cursor == '0' or #found >= lanes_max or looked_at >= 2 * lanes_max
  return found
end
