-- include: shard
-- How the downstream does, as its answers show: attempts that failed in a row, and a gate that they shut.
--
--   failed          how many attempts in a row got no answer, 408 or 5xx (throttles are not counted)
--   failed_since    when the first of them ended     failed_error   what the last one came to
--   failing         1: they are so many that the downstream counts as failing
--   gate_began      when the gate shut first; answers since have only prolonged it
--   <what>_logged   1: the beginning is logged, the end is not    <what>_log_ms   when; what: failing, shut
--
-- What a node is to log it is told in the reply of the call that made the change, so that one node logs it.
local FAILING_FROM, LOG_EVERY_MS = 3, 60000
local reports = {}

local function reports_text()
  return #reports > 0 and cjson.encode(reports) or ''
end

-- Whether a beginning is logged: once until it has ended, and once a minute at most, however often the
-- downstream comes and goes.
local function logs_beginning(what)
  local m = rc('HMGET', K.meta, what .. '_logged', what .. '_log_ms')
  if m[1] then return false end
  local ago_ms = now_ms - tonumber(m[2] or 0)
  if m[2] and ago_ms >= 0 and ago_ms < LOG_EVERY_MS then return false end
  rc('HSET', K.meta, what .. '_logged', 1, what .. '_log_ms', now_ms)
  return true
end

local function logs_end(what)
  return rc('HDEL', K.meta, what .. '_logged') == 1
end

local function attempts_failed(count, error, since_ms)
  local failed = rc('HINCRBY', K.meta, 'failed', count)
  rc('HSET', K.meta, 'failed_error', error)
  rc('HSETNX', K.meta, 'failed_since', since_ms)
  if failed < FAILING_FROM then return end
  rc('HSET', K.meta, 'failing', 1)
  if logs_beginning('failing') then
    local since = tonumber(rc('HGET', K.meta, 'failed_since'))
    reports[#reports + 1] = { what = 'failing', since_ms = since, attempts = failed, error = error }
  end
end

local function attempt_answered()
  local m = rc('HMGET', K.meta, 'failed', 'failed_since')
  if not m[1] then return end
  rc('HDEL', K.meta, 'failed', 'failed_since', 'failed_error', 'failing')
  if logs_end('failing') then
    reports[#reports + 1] =
      { what = 'recovered', since_ms = tonumber(m[2] or now_ms), attempts = tonumber(m[1]) }
  end
end

-- What the attempts of a call show together: 'a' if one was answered, how many failed since, and the last
-- error; '' if they show nothing.
local function note_attempts(row)
  local answered, failed, error = string.match(row, '^([a-])(%d+):(.*)$')
  if answered == 'a' then attempt_answered() end
  if failed and tonumber(failed) > 0 then attempts_failed(tonumber(failed), error, now_ms) end
end

-- A success shows that all is well: streaks start over, and what was wrong has ended.
local function downstream_succeeds()
  rc('HDEL', K.meta, 'throttle_streak', 'alarm_streak', 'refusals', 'gate_began')
  if logs_end('shut') then reports[#reports + 1] = { what = 'opened' } end
  attempt_answered()
end
