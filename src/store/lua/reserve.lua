#!lua flags=allow-oom
-- reserve: units for calls of a queue, at the account of a shared limit, or in its home slot at the limits of its own: the second of
-- the steps in which shared limits are asked.
-- include: shared reserved
--
-- args: node limit_lines queue is_account:flag asks:flag horizon_us:number before_us:number lead_us:number held:number
-- args: (from_us:number calls:number messages:number least:number)...
-- node: 12 bytes. limit_lines: see limits; an account has one. asks: takes nothing, and only tells what could be had; who is refused waits from then on. before_us: slots
-- only before this moment, or 0. lead_us: how long it takes until the calls may start. held: units that the caller has reserved here
-- and not used yet. Each row is a call: from when on it could start, the units that it takes, and of a batch at least how many
-- messages.
-- returns: now_us:number wait_us:number (slot_us:number end_us:number messages:number)...
-- Of the calls in their order those that may start: when, until when at the latest, and with how many messages. None: how long until
-- it is worth asking again, or below 0: the window closes before that.
--
-- Of a quota at most a hundredth of what is left is reserved at a time, but at least one call. At a rate, a queue that was refused
-- comes before those that began to wait later, or had a slot since. Not repeated: after a lost reply the units stay taken.
local limits = limits_read(limit_lines, horizon_us)
local first_us = now_us + lead_us
local last_us = first_us + horizon_us
local account = is_account and limits[1] or nil
local reply = REPLY { now_us = now_us, wait_us = 0 }

local most_units, owed, owed_until_us = math.huge, 0, 0
if account and account.is_rate then
  owed, owed_until_us = owed_to_others(queue)
elseif account then
  local at = period_of(account, first_us)
  most_units = at < 3 and math.floor((account.units - account.used[at]) / RUST.RESERVED_PART) - held or 0
end

-- What others have come for that have waited longer is left for them.
local function is_too_late(slot_us)
  local behind_us = owed > 0 and owed * account.period_us or 0
  return slot_us + behind_us > last_us or (before_us > 0 and slot_us >= before_us)
end

local taken, by_period, refused_us, is_known = 0, { 0, 0 }, nil, true
for i = 1, ROWS do
  local calls, least = ROW[i].calls, ROW[i].least
  local slot_us
  slot_us, is_known = limits_slot(limits, math.max(first_us, ROW[i].from_us), calls, least)
  if not is_known or is_too_late(slot_us) then
    refused_us = slot_us
    break
  end
  slot_us = math.ceil(slot_us)
  local most = least == ROW[i].messages and least or math.max(least, math.min(ROW[i].messages, most_units - taken))
  local messages = messages_within(limits, slot_us, least, most)
  local units = account and (account.by_message and messages or calls) or 0
  if taken > 0 and taken + units > most_units then break end
  limits_take_late(limits, slot_us, calls, messages)
  local at = account and not account.is_rate and period_of(account, slot_us) or 1
  taken, by_period[at] = taken + units, (by_period[at] or 0) + units
  REPLY_ROW { slot_us = slot_us, end_us = slot_until(limits, slot_us), messages = messages }
end

if #reply == 2 then
  local wait_us = is_known and refused_us - last_us or math.max(0, refused_us - last_us)
  local is_shut = before_us > 0 and refused_us >= before_us
  if owed > 0 and wait_us <= 0 and not is_shut then wait_us = owed_until_us - now_us end
  reply[REPLY.wait_us] = math.ceil(wait_us)
  -- Also where it only asks: another account of the queue may be the one that it takes from first.
  if account and account.is_rate then queue_waits(queue, wait_us) end
elseif not asks then
  limits_save(limits, node)
  if account then count_for(queue, account, by_period) end
  if account and account.is_rate then queue_got_some(queue) end
end
return reply
