"""What docs/lanes.md says that an audit can check, looked up in the bare keys after every step."""
import hashlib, struct
from collections import defaultdict
from messages import NONE, read_state

TAG = '{t:q.0}:'
EMPTY = hashlib.sha256(b'').digest()[:8]
# What the audit of the lanes looks through, in its order, and the kinds of faults by their codes.
LANES = ['heads', 'open', 'parked', 'rest', 'waits', 'lent', 'turns', 'held', 'flight', 'held_keys']
KINDS = dict(enumerate(['unplaced', 'misplaced', 'leftover', 'expiry', 'largest', 'unreadable', 'duplicate', 'count', 'weight', 'stray',
                        'lane', 'busy', 'blocker', 'lent', 'turn', 'held', 'flight', 'held_keys'], 1))
CODES = {kind: code for code, kind in KINDS.items()}
PLACES = {'L': 'leased', 'U': 'uncertain', 'A': 'accepted', 'D': 'delivered', 'X': 'dead', 'E': 'expired', 'C': 'cancelled'}


class Stored:
    """A structure as it stands in `meta`."""

    def __init__(self, text):
        self.order_by = self.fair_by = None
        self.until_final, self.stall_ms, self.levels, self.aging_ms, self.limits = False, 0, 1, 0, []
        for line in (text or b'').decode().splitlines():
            what, *said = line.split(' ')
            if what == 'order':
                self.order_by, self.until_final, self.stall_ms = bytes.fromhex(said[0]), said[1] == 'final', int(said[2])
            elif what == 'fair':
                self.fair_by = bytes.fromhex(said[0])
            elif what in ('levels', 'aging'):
                setattr(self, what if what == 'levels' else 'aging_ms', int(said[0]))
            elif what == 'limit':
                self.limits.append((bytes([int(said[0])]), said[1], bytes.fromhex(said[2]), said[3]))
        self.of_lanes = [limit for limit in self.limits if limit[2] != self.fair_by]
        self.of_flows = [limit for limit in self.limits if limit[2] == self.fair_by]

    def flow(self, keys):
        return keys.get(self.fair_by, NONE)

    def lane(self, band, keys):
        """Lane, and whether it is one of order."""
        value = keys.get(self.order_by)
        if value is not None:
            head = bytes(a ^ b for a, b in zip(self.order_by, value))
            return head + value[2:], True
        said = f'{self.levels} {min(self.levels - 1, band)}'.encode()
        said += (b'o' + self.order_by if self.order_by else b'n') + (self.fair_by or b'') + self.flow(keys)
        said += b''.join(per + keys.get(per, NONE) for _, _, per, _ in self.of_lanes)
        return hashlib.sha1(said).digest()[:8], False

    def blockers(self, keys):
        return [limit[0] + keys.get(limit[2], NONE) for limit in self.of_lanes]


def read_record(raw):
    version, flags, rank = raw[0], raw[1], raw[2]
    due_ms, expires_ms, sequence = (int.from_bytes(raw[at:at + 6], 'big') for at in (3, 9, 15))
    keys, cost = {}, 1
    if flags & 4:
        presence, at = raw[22], 25
        if presence & 1:
            cost, at = struct.unpack('>H', raw[at:at + 2])[0], at + 2
        if presence & 2:
            for i in range(raw[at]):
                pair = raw[at + 1 + 10 * i:at + 11 + 10 * i]
                if pair[2:] != EMPTY:
                    keys[pair[:2]] = pair[2:]
    return dict(band=rank // 16, due_ms=due_ms, expires_ms=expires_ms, sequence=sequence + raw[21], keys=keys, cost=cost)


def place_of(record, state):
    high = state['due_ms'] // 8 + (2 ** 39 if state['attempts'] == 0 and state['throttles'] == 0 else 0)
    low = state['due_ms'] % 8 * 2 ** 37 + record['sequence'] % 2 ** 37
    return high.to_bytes(5, 'big') + low.to_bytes(5, 'big')


def pairs(flat):
    return list(zip(flat[::2], flat[1::2]))


class World:
    """All that stands in the shard at a moment."""

    def __init__(self, redis, circle=52):
        self.wrap = 2 ** circle
        hashes = ['meta', 'records', 'states', 'heads', 'lent', 'held', 'flight', 'weights']
        zsets = ['due', 'leased', 'uncertain', 'accepted', 'delivered', 'dead', 'expired', 'cancelled', 'rest', 'open', 'parked',
                 'waits', 'tags', 'arrivals', 'used', 'expiry'] + [f'turns:{n}' for n in range(10)]
        lists = [f'ready:{n}' for n in range(10)]
        calls = [['HGETALL', TAG + n] for n in hashes] + [['ZRANGE', TAG + n, 0, -1, 'WITHSCORES'] for n in zsets]
        calls += [['LRANGE', TAG + n, 0, -1] for n in lists]
        replies = redis.many(calls)
        at = 0
        for names, of in ((hashes, lambda r: dict(pairs(r))), (zsets, lambda r: {m: float(s) for m, s in pairs(r)}), (lists, list)):
            for name in names:
                setattr(self, name.replace(':', '_'), of(replies[at]))
                at += 1
        self.ready = [entry for n in range(10) for entry in getattr(self, f'ready_{n}')]
        self.turns = [getattr(self, f'turns_{n}') for n in range(10)]
        self.structure = Stored(self.meta.get(b'structure'))
        self.before = Stored(self.meta.get(b'structure_was')) if b'structure_was' in self.meta else None
        self.is_switching = b'switch' in self.meta
        self.is_laned = bool(self.meta.get(b'structure'))
        self.virtual = int(self.meta.get(b'virtual', 0))
        self.anew = self.meta[b'revalue'].decode().split(':')[0] if b'revalue' in self.meta else None
        self.message = {}
        for ulid, raw in self.records.items():
            record = read_record(raw)
            if ulid in self.states:
                state = read_state(self.states[ulid])
            else:
                state = dict(state='w', band=record['band'], epoch=0, due_ms=record['due_ms'], attempts=0, throttles=0, rescues=0,
                             expires_ms=record['expires_ms'])
            epoch = bytes([48 + state['epoch'] // 64, 48 + state['epoch'] % 64])
            entry = ulid + str(state['band']).encode() + epoch
            self.message[ulid] = dict(record=record, state=state, entry=entry, keys=record['keys'], place=place_of(record, state))
        self.lanes = {}
        for lane, raw in self.heads.items():
            state, is_ordered, more, level = raw[:1].decode(), raw[1] == 1, raw[2] == 1, raw[3]
            self.lanes[lane] = dict(state=state, is_ordered=is_ordered, more=more, level=level, flow=raw[4:12], blocker=raw[12:21],
                                    place=raw[21:31], ulid=raw[31:57])

    def entries(self):
        """Of the ready lists, in the order in which claims meet them."""
        return [entry for band in reversed(range(10)) for entry in getattr(self, f'ready_{band}')]

    def ahead(self, tag):
        return (tag - self.virtual) % self.wrap


def fault(text, *values):
    raise AssertionError(' '.join([text, *map(repr, values)]))


def missing(world):
    """The entries of messages that wait and stand nowhere."""
    w = world
    lists = set(w.ready)
    standing = {h['ulid'] for h in w.lanes.values() if h['state'] in 'op'} | {member[18:] for member in w.rest}
    return [m['entry'] for ulid, m in w.message.items()
            if m['state']['state'] == 'w' and m['entry'] not in w.due and m['entry'] not in lists and ulid not in standing]


def check(world, is_strict=True):
    """is_strict: no node has used the forms without keys meanwhile."""
    w = world
    stands = defaultdict(list)
    entries = {m['entry']: ulid for ulid, m in w.message.items()}
    for entry in w.due:
        if entries.get(entry):
            stands[entry[:26]].append('due')
    for entry in w.ready:
        if entries.get(entry) and w.message[entry[:26]]['state']['state'] == 'w':
            stands[entry[:26]].append('ready')
            if is_strict in ('always', 'laned') and w.is_laned and not w.is_switching:
                fault('in a ready list at a queue with keys', entry)
    for name in PLACES.values():
        for ulid in getattr(w, name):
            stands[ulid].append(name)
    dangling = set()
    for lane, h in w.lanes.items():
        if h['state'] in 'op':
            check_place(w, stands, dangling, 'head', lane, h['ulid'], h['place'], is_strict)
    for member, score in w.rest.items():
        lane, place, ulid = member[:8], member[8:18], member[18:]
        if lane not in w.lanes:
            fault('rest without a lane', member)
        if not w.lanes[lane]['more']:
            fault('rest of a lane that knows of none', member)
        check_place(w, stands, dangling, 'rest', lane, ulid, place, is_strict)
    for ulid, m in w.message.items():
        state = m['state']['state']
        if state == 'w':
            if len(stands[ulid]) != 1 or stands[ulid][0] not in ('due', 'head', 'rest', 'ready'):
                fault('a waiting message stands in', ulid, stands[ulid])
        elif stands[ulid] != [PLACES[state]]:
            fault(f'a message in state {state} stands in', ulid, stands[ulid])
    if is_strict:
        for ulid in stands:
            if ulid not in w.message:
                fault('stands for nothing', ulid, stands[ulid])
    check_lanes(w, is_strict)
    check_blockers(w)
    check_flows(w)
    check_leases(w, is_strict)
    return dangling


def check_place(w, stands, dangling, where, lane, ulid, place, is_strict):
    m = w.message.get(ulid)
    if not m or m['state']['state'] != 'w' or m['place'] != place:
        if is_strict:
            fault('in a lane that it has left', where, ulid, lane, place, m and m['state'])
        return dangling.add(ulid)
    stands[ulid].append(where)
    belongs = [s.lane(m['state']['band'], m['keys'])[0] for s in (w.structure, w.before) if s]
    if (not w.is_switching and belongs[0] != lane) or lane not in belongs:
        fault('in a lane that is not its own', ulid, lane, belongs)


def check_lanes(w, is_strict):
    # While messages move over, lanes of the structure before stand nowhere.
    opened, parked = defaultdict(list), defaultdict(list)
    for member in w.open:
        opened[member[19:]].append(member)
    for member in w.parked:
        parked[member[28:]].append(member)
    for lane in list(opened) + list(parked):
        if lane not in w.lanes:
            fault('stands without a lane', lane)
    for lane, h in w.lanes.items():
        in_open = bytes([h['level']]) + h['flow'] + h['place'] + lane
        in_parked = h['blocker'] + bytes([9 - h['level']]) + h['flow'] + h['place'] + lane
        is_old = w.is_switching
        expected = {'o': ([in_open], []), 'p': ([], [in_parked])}.get(h['state'], ([], []))
        found = opened[lane], parked[lane]
        if found != expected and not (is_old and found == ([], [])):
            fault('a lane stands elsewhere', lane, h, found)
        if h['state'] in 'bf' and not h['is_ordered'] and not w.is_switching:
            fault('a lane without order is busy', lane, h)
        if h['state'] in 'op' and not w.is_switching:
            m = w.message.get(h['ulid'])
            if m:
                s = w.structure
                said = min(s.levels - 1, m['state']['band']), s.flow(m['keys'])
                if said != (h['level'], h['flow']):
                    fault('a head of another level or flow', lane, h, said)
                if h['state'] == 'p' and h['blocker'] not in s.blockers(m['keys']):
                    fault('parked behind a blocker that is not its own', lane, h)
        if h['state'] == 'f' and b'\0' + lane not in w.waits and not w.is_switching:
            fault('a free lane that nobody finds', lane, h)
        if h['state'] == 'b':
            m = w.message.get(h['ulid'])
            state = m and m['state']
            ok = m and (state['state'] in 'LU' or (state['state'] == 'A' and w.structure.until_final)
                        or (state['state'] == 'w' and m['entry'] in w.due))
            if not ok and not w.is_switching and is_strict:
                fault('a lane is busy for nobody', lane, h, state)
    for blocker in w.waits:
        if blocker[:1] == b'\0' and blocker[1:] not in w.lanes:
            fault('waits for a lane that is not there', blocker)
        if blocker[:1] == b'\0' and w.waits[blocker] == float('inf'):
            fault('a lane of order that nobody finds', blocker)


def check_blockers(w):
    parked = defaultdict(int)
    for member in w.parked:
        parked[member[:9]] += 1
    flow_ids = {limit[0] for limit in w.structure.of_flows}
    lane_ids = {limit[0] for limit in w.structure.of_lanes}
    counts = defaultdict(int)
    for blocker in w.waits:
        if blocker[:1] == b'\0':
            continue
        counts[blocker[0]] += 1
        if blocker[:1] in lane_ids and not parked[blocker]:
            fault('a blocker that holds nothing', blocker)
        if blocker[:1] not in lane_ids | flow_ids and not w.is_switching:
            fault('a blocker of no limit', blocker)
    for blocker in parked:
        if blocker not in w.waits:
            fault('a blocker that nobody finds', blocker)
    told = {int(f[5:]): int(v) for f, v in w.meta.items() if f.startswith(b'held:')}
    for ident in set(told) | set(counts):
        if told.get(ident, 0) != counts.get(ident, 0):
            fault('held keys', ident, told.get(ident), counts.get(ident))
    for blocker, said in w.lent.items():
        lane = said[:8]
        if blocker not in w.waits:
            fault('lent, and nobody looks after it', blocker, said)
        if lane == NONE:
            continue
        h = w.lanes.get(lane)
        if not h or h['state'] != 'o':
            fault('a lent lane is not open', blocker, lane, h)
        m = w.message.get(h['ulid'])
        if m and blocker not in w.structure.blockers(m['keys']):
            fault('lent by a blocker that is not its own', blocker, lane)


def check_flows(w):
    s = w.structure
    opened = defaultdict(set)
    for member in w.open:
        opened[member[1:9]].add(member[0])
    held = {flow for flow in set(opened) | {b[1:] for b in w.waits}
            if any(limit[0] + flow in w.waits for limit in s.of_flows)}
    turns = defaultdict(dict)
    for level in range(10):
        for flow, tag in w.turns[level].items():
            turns[flow][level] = tag
    for flow in set(opened) | set(turns):
        expected = opened[flow] if flow not in held else set()
        if set(turns[flow]) != expected:
            fault('turns', flow, turns[flow], expected, flow in held)
        if len(set(turns[flow].values())) > 1:
            fault('different tags of a flow', flow, turns[flow])
        if turns[flow] and flow in w.tags:
            fault('a tag twice', flow)
        for tag in turns[flow].values():
            if w.ahead(tag) >= w.wrap / 2:
                fault('a tag behind the virtual time', flow, tag, w.virtual)


def check_leases(w, is_strict):
    flight = defaultdict(int)
    for ulid, raw in w.held.items():
        m = w.message.get(ulid)
        if is_strict and (not m or m['state']['state'] != 'L'):
            fault('held of a message that is not leased', ulid, m and m['state'])
        for at in range(8, len(raw), 15):
            blocker, units, end_minute = raw[at:at + 9], *struct.unpack('>HI', raw[at + 9:at + 15])
            if end_minute == 0:
                flight[blocker] += 1
    if is_strict and {b: int(n) for b, n in w.flight.items()} != dict(flight):
        fault('flight', w.flight, dict(flight))
