#!lua
-- cancel: messages that wait leave, wherever they stand. Rows: ulid, '1' where an attempt has begun.
-- include: settings record lanes flows limits index
local left = 0
for at = ROW, #ARGV, 2 do
  local ulid, has_begun = ARGV[at], ARGV[at + 1] == '1'
  local record = rc('HGET', K.records, ulid)
  local keys = keys_of(record)
  local lane = lane_of(record, keys)
  local h = lane_read(lane)
  if h and h.ulid ~= ulid then
    left = left + rest_remove(lane, place_of(record, has_begun), ulid)
  elseif h and h.state == 'b' then
    lane_frees(lane, h)
    left = left + 1
  elseif h then
    left = left + 1
    head_goes(lane, h.place, ulid)
    local place, next_ulid
    if h.more then place, next_ulid = rest_first(lane) end
    if place and not h.is_ordered then
      change_head(lane, h, place, next_ulid)
      lane_write(lane, h)
    else
      leave(lane, h)
      if place then
        local next_record = rc('HGET', K.records, next_ulid)
        local next_keys = keys_of(next_record)
        local _, _, level, flow = lane_of(next_record, next_keys)
        h.level, h.flow, h.place, h.ulid = level, flow, place, next_ulid
        stand(lane, h, blockers_of(next_keys))
        lane_write(lane, h)
      else
        lane_drop(lane)
      end
    end
  end
  rc('HDEL', K.records, ulid)
end
return left
