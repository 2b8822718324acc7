-- include: record
-- Whether the recipient of a message may be reached now. A part of claim, which has `hours` (see store/queue/zones.rs): '' where the
-- queue has no such hours; then there is no function either. `closed_until` gives the next opening of a recipient that cannot
-- be reached, ms; nil: it can. A zone that the caller does not know is asked about a little later, by another caller.
local closed_until
if hours ~= '' then
  local FALLBACK_BYTES, ZONE_BYTES, UNKNOWN_MS = 12, 16, 60000
  local seen = {}

  -- The zone of a record: 0 for one that goes by no hours; nil: it names none.
  local function zone_of(record)
    if not record_is_readable(record) then return 0 end
    local version, flags = string.byte(record, 1, 2)
    if flags % 8 < 4 or version == RECORD_VERSION_OLDEST then return nil end
    local at = RECORD_HEADER_BYTES + 1
    local presence = string.byte(record, at)
    if math.floor(presence / 8) % 2 == 0 then return nil end
    at = at + 3
    if presence % 2 == 1 then at = at + 2 end
    if math.floor(presence / 2) % 2 == 1 then at = at + 1 + 10 * (string.byte(record, at) or 0) end
    if math.floor(presence / 4) % 2 == 1 then at = at + RUST.COLLAPSE_BYTES end
    if #record < at + 3 then return 0 end
    return (struct.unpack('>I4', record, at))
  end

  -- Where the moments of a zone stand; nil: it is not known.
  local function place_in_table(zone)
    local low, high = 1, (#hours - FALLBACK_BYTES) / ZONE_BYTES
    while low <= high do
      local middle = math.floor((low + high) / 2)
      local at = FALLBACK_BYTES + (middle - 1) * ZONE_BYTES + 1
      local found = struct.unpack('>I4', hours, at)
      if found == zone then return at + 4 end
      if found < zone then low = middle + 1 else high = middle - 1 end
    end
    return nil
  end

  local function opening_of(zone)
    local at = zone == 'none' and 1 or place_in_table(zone)
    if not at then return now_ms + UNKNOWN_MS end
    local until_ms, next_ms = struct.unpack('>I6I6', hours, at)
    if next_ms == 0 or now_ms < until_ms then return false end
    return next_ms
  end

  closed_until = function(record)
    local zone = zone_of(record)
    if zone == 0 then return nil end
    zone = zone or 'none'
    local opens_ms = seen[zone]
    if opens_ms == nil then
      opens_ms = opening_of(zone)
      seen[zone] = opens_ms
    end
    return opens_ms or nil
  end
end
