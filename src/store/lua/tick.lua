#!lua flags=allow-oom
-- tick: the tick that is due becomes the one under way, and the one after it the next: for one node only.
-- include: schedules clock
--
-- ARGV[1] ARGV[2] moments between which this call is expected, us   ARGV[3] name
-- ARGV[4] version of the definition that was read   ARGV[5] the next nominal time that was read
-- ARGV[6] the nominal time to fire, or '' for none   ARGV[7] the next nominal time from now on, or ''
-- ARGV[8] how many are left out   ARGV[9] ulid of the message   ARGV[10] ms until another node may take over
-- Returns {0, now_us, code}, or {1, now_us}: the clock is in doubt, and nothing was done; codes: 0 done, 1
--         another node was first, or the schedule was changed
--
-- The intent holds the definition as it is now: whatever becomes of the schedule, this nominal time goes to
-- this queue under this id and to no other. Safe to repeat: the second time another was first, and what
-- the first one left under way is taken over by sweep.
if clock_in_doubt(ARGV[1], ARGV[2]) then return { 1, now_us } end
local name, fire_ms = ARGV[3], ARGV[6]
local state = state_of_schedule(name)
local is_mine = state and state.v == tonumber(ARGV[4])
  and tonumber(rc('ZSCORE', K.next, name) or -1) == tonumber(ARGV[5])
  and rc('HEXISTS', K.intents, name) == 0
if not is_mine or (fire_ms ~= '' and tonumber(fire_ms) > now_ms) then return { 0, now_us, 1 } end
next_keep(name, ARGV[7])
if ARGV[8] ~= '0' then
  state.m = state.m + tonumber(ARGV[8])
  state_keep(name, state)
end
if fire_ms ~= '' then
  local head = cjson.encode({ n = tonumber(fire_ms), u = ARGV[9], s = now_ms })
  rc('HSET', K.intents, name, head .. '\n' .. rc('HGET', K.definitions, name))
  rc('ZADD', K.firing, now_ms + tonumber(ARGV[10]), name)
end
return { 0, now_us, 0 }
