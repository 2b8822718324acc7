#!lua flags=allow-oom
-- take_anew: units of limits by key for a further call with messages that are under a lease: for all of them, or for none; and back.
-- include: rows record lanes/index
--
-- args: keys_in_force what slot_us:number ulid...
-- keys_in_force: as claim. what: ask (whether it could start now), take, or return: a call with this slot, which had taken them, did
-- not start, and quotas get their units back. slot_us: when the call starts; 0 where it only asks.
-- returns: code:number wait_us:number
-- Codes as claim: 0 it may start, 5 a rate holds it, for so long, 9 a quota has too few units left in its period, 10 another
-- structure is in force than the caller knows.
--
-- Not repeated: after a lost reply the units stay taken. The calls in flight of a key stay those of the lease.
local lead_us, horizon_us, before_us, limit_lines, granted = what == 'ask' and 0 or slot_us - now_us, 0, 0, '', nil
if what == 'take' then lead_us = math.max(0, lead_us) end

local function ask_all()
  -- include: lanes/turns lanes/limits
  local wait_us = 0
  for _, ulid in ipairs(ulids) do
    local record = rc('HGET', K.records, ulid)
    local is_readable = record and record_is_readable(record)
    local keys, cost = keys_of(record), is_readable and record_cost(record) or 1
    for _, limit in ipairs(structure.limits) do
      local blocker = limit.id .. (keys[limit.per] or NONE)
      if what == 'return' then
        if limit.kind == 'quota' and slot_us >= limit.start_us then units_come_back(blocker, cost, limit.end_minute) end
      elseif limit.kind ~= 'concurrency' then
        local opens_us = opens_at(limit, blocker, cost)
        if opens_us > first_us and limit.kind == 'quota' then return RUST.CLAIM_KEYS, 0 end
        wait_us = math.max(wait_us, opens_us - first_us)
        units_take(limit, blocker, first_us, cost)
      end
    end
  end
  if wait_us > 0 then return RUST.CLAIM_LIMIT, wait_us end
  if what == 'take' then limits_write() end
  return RUST.CLAIM_TAKEN, 0
end

local code, wait_us = RUST.CLAIM_STRUCTURE, 0
local is_known = rc('HGET', K.meta, 'structure_number') == string.match(keys_in_force, '^%d+')
if is_known then code, wait_us = ask_all() end
return REPLY { code = code, wait_us = math.ceil(wait_us) }
