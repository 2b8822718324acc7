#!lua flags=allow-oom
-- tick: the tick that is due becomes the one under way, and the one after it the next: for one node only.
-- include: schedules clock
--
-- args: earliest_us:number latest_us:number name version:number nominal_ms:number fire_ms:number? next_ms missed:number ulid takeover_ms:number
-- earliest_us, latest_us: this call is expected between them. version: of the definition that was
-- read. nominal_ms: the next nominal time that was read. fire_ms: the nominal time to fire; none: not one. next_ms: the
-- next nominal time from now on, or ''. missed: how many are left out. ulid: of the message. takeover_ms: until another
-- node may take over.
-- returns: is_in_doubt:flag now_us:number [is_done:flag]
-- is_in_doubt: the clock is, and nothing was done. is_done: else another node was first, or the schedule was
-- changed.
--
-- The intent holds the definition as it is now: whatever becomes of the schedule, this nominal time goes to
-- this queue under this id and to no other. Safe to repeat: the second time another was first, and what
-- the first one left under way is taken over by sweep.
if clock_in_doubt(now_us, earliest_us, latest_us) then return REPLY { is_in_doubt = true, now_us = now_us } end
local state = state_of_schedule(name)
local is_mine = state and state.v == version
  and tonumber(rc('ZSCORE', K.next, name) or -1) == nominal_ms
  and rc('HEXISTS', K.intents, name) == 0
if not is_mine or (fire_ms and fire_ms > now_ms) then
  return REPLY { is_in_doubt = false, now_us = now_us, is_done = false }
end
next_keep(name, next_ms)
if missed > 0 then
  state.m = state.m + missed
  state_keep(name, state)
end
if fire_ms then
  local head = cjson.encode({ n = fire_ms, u = ulid, s = now_ms })
  rc('HSET', K.intents, name, head .. '\n' .. rc('HGET', K.definitions, name))
  rc('ZADD', K.firing, now_ms + takeover_ms, name)
end
return REPLY { is_in_doubt = false, now_us = now_us, is_done = true }
