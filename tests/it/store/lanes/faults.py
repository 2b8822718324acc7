"""Faults that the check has to find: what a script says, what it says instead, and the kind of queue in which it hurts."""

FAULTS = [
    ('a message comes back behind the others of its key',
     "  if h.state == 'b' and h.ulid == ulid then return holder_comes_back(h, seat, ulid) end\n", '', 'plain'),
    ('a lane of order is not busy while its message is on its way',
     "    h.state = 'b'\n    return lane_write(lane, h)\n", '    return lane_drop(lane)\n', 'plain'),
    ('an earlier message does not become the head',
     '  if stands and is_before(seat.place, h.place) then return become_head(h, seat, ulid) end\n', '', 'plain'),
    ('a quota does not ask for all units', 'state + units <= limit.units', 'state < limit.units', 'plain'),
    ('a rate takes one unit whatever a message costs',
     'math.max(state, slot_us) + cost * limit.period_us', 'math.max(state, slot_us) + limit.period_us', 'plain'),
    ('a call in flight is never given back', 'if end_minute == 0 then call_ends(blocker)\n', 'if end_minute == 0 then\n', 'plain'),
    ('units of a quota are given back of calls that started', 'elseif not did_start then', 'else', 'plain'),
    ('a blocker does not hear that its lane has come back', '  lents_come_back(lane, blockers, true)\n', '', 'plain'),
    ('what is taken does not count against its share', '  flow_moves(h.flow, share_of(h.flow, cost))\n', '', 'plain'),
    ('what is given back stays counted', '      if unstarted[ulid] then here.gives_back(record, s) end\n', '', 'plain'),
    ('a flow without a turn forgets what it has had',
     'if f.standing == 0 and distance > 0 and distance < WRAP / 2 then', 'if false then', 'plain'),
    ('the moment of a stall outlives its message', "    waits_remove(ORDER .. lane)\n    return lane_drop(lane)\n",
     '    return lane_drop(lane)\n', 'plain'),
    ('what is due does not come in first', '  if not structure.order_by or in_doubt then return nil end\n',
     '  if true then return nil end\n', 'plain'),
    ('a held flow keeps its turn', '    if f.at[level] then flow_closes(flow, level) end\n', '', 'plain'),
    ('a stall begins while the message is leased', "if h.state == 'b' then return holder_leaves(lane, h.ulid, s) end",
     "if h.state == 'b' then return waits_set(ORDER .. lane, now_us + structure.stall_ms * 1000) end", 'switch'),
    ('all lanes keep their id at a switch', 'structure.levels, \' \', level, structure.order_by and \'o\' .. structure.order_by or \'n\',',
     "'', ' ', level, 'n',", 'switch'),
    ('an expired message is sent', '  if s.expires == 0 or s.expires > now_ms then return false end\n', '  if true then return false end\n',
     'plain'),
]

# They show in few queues.
RARE = {'a stall begins while the message is leased', 'the moment of a stall outlives its message',
        'a blocker does not hear that its lane has come back', 'an expired message is sent'}
