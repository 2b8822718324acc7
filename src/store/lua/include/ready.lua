-- include: writes
-- All writes to the ready lists go through here.
local READY = {
  [0] = K.ready_0, K.ready_1, K.ready_2, K.ready_3, K.ready_4,
  K.ready_5, K.ready_6, K.ready_7, K.ready_8, K.ready_9,
}

-- How many entries stand in all bands, and in each.
local function ready_length()
  local length, lengths = rc('LLEN', READY[0]), { 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  lengths[0] = length
  -- Most queues have one band.
  if rc('EXISTS', unpack(READY)) > 0 then
    for band = 1, 9 do
      lengths[band] = rc('LLEN', READY[band])
      length = length + lengths[band]
    end
  end
  return length, lengths
end

-- An entry that names no band is nobody's; claim skips it, wherever it stands.
local function ready_tail(entry, band)
  gather('RPUSH', READY[band] or READY[0], entry)
end

-- The same for many, each into the band it names, in runs.
local function ready_tail_all(entries)
  if #entries == 0 then return end
  local from, band = 1, string.byte(entries[1], 27)
  for i = 2, #entries + 1 do
    local next_band = i <= #entries and string.byte(entries[i], 27)
    if next_band ~= band or i - from == 1000 then
      rc('RPUSH', READY[(band or 48) - 48] or READY[0], unpack(entries, from, i - 1))
      from, band = i, next_band
    end
  end
end

-- Back to the head, in the order given (LPUSH turns it round, so callers walk backwards).
local function ready_head(entry, band)
  gather('LPUSH', READY[band], entry)
end
-- keyed include: lanes/ready
