"""Damage to one structure of the lanes, at the bare keys: what it is, and the commands that do it."""
from audit import TAG
from messages import NONE

HEAD_STATE, HEAD_MORE = 0, 2


def bytes_of(rng, count):
    return bytes(rng.randrange(1, 255) for _ in range(count))


def one(rng, pool):
    pool = sorted(pool)
    return rng.choice(pool) if pool else None


def with_byte(raw, at, value):
    return raw[:at] + value + raw[at + 1:]


def spoil(rng, w):
    """Nothing where there is nothing to spoil. What is spoilt can be known from the messages and from the other structures: a lane that
    is busy is not touched, since nobody else knows for which message."""
    what = rng.choice([open_, parked, rest, heads, waits, lent, turns, held, flight, meta])
    commands = what(rng, w)
    return what.__name__, [[command, TAG + name, *rest] for command, name, *rest in commands or []]


def open_(rng, w):
    member = one(rng, w.open)
    if rng.random() < 0.3 or not member:
        return [('ZADD', 'open', 0, bytes([0]) + bytes_of(rng, 26))]
    if rng.random() < 0.3:
        return [('ZADD', 'open', 0, with_byte(member, 0, bytes([member[0] + 1])))]
    return [('ZREM', 'open', member)]


def parked(rng, w):
    member = one(rng, w.parked)
    if not member:
        return [('ZADD', 'parked', 0, bytes([250]) + bytes_of(rng, 35))]
    if rng.random() < 0.3:
        return [('ZADD', 'parked', 0, with_byte(member, 3, b'!'))]
    return [('ZREM', 'parked', member)]


def rest(rng, w):
    member = one(rng, w.rest)
    if rng.random() < 0.3:
        lane = one(rng, [lane for lane, h in w.lanes.items() if h['state'] in 'op'])
        return lane and [('ZADD', 'rest', 0, lane + w.lanes[lane]['place'] + w.lanes[lane]['ulid'])]
    if not member:
        return [('ZADD', 'rest', 0, bytes_of(rng, 44))]
    elsewhere = ('ZADD', 'rest', 0, bytes_of(rng, 8) + member[8:])
    return rng.choice([[('ZREM', 'rest', member)], [('ZREM', 'rest', member), elsewhere], [elsewhere]])


def heads(rng, w):
    lane = one(rng, [lane for lane, h in w.lanes.items() if h['state'] in 'opf'])
    if not lane:
        return [('HSET', 'heads', bytes_of(rng, 8), 'no head')]
    raw = w.heads[lane]
    state = rng.choice([s for s in (b'o', b'p', b'b', b'f') if s != raw[:1]])
    return rng.choice([
        [('HDEL', 'heads', lane)], [('HSET', 'heads', lane, raw[:30])], [('HSET', 'heads', lane, with_byte(raw, HEAD_STATE, state))],
        [('HSET', 'heads', lane, with_byte(raw, HEAD_MORE, b'\0'))],
    ])


def waits(rng, w):
    blocker = one(rng, w.waits)
    strange = rng.choice([bytes([rng.choice([0, 1, 2, 250])]) + bytes_of(rng, 8), b'short'])
    if not blocker or rng.random() < 0.3:
        # The blocker of a flow may hold one that has no lane any more.
        if any(strange[:1] == limit[0] for limit in w.structure.of_flows):
            return None
        return [('ZADD', 'waits', 1, strange)]
    return rng.choice([[('ZREM', 'waits', blocker)], [('ZADD', 'waits', '+inf', blocker)]])


def lent(rng, w):
    blocker = one(rng, w.waits) or bytes_of(rng, 9)
    lane = one(rng, w.lanes) or NONE
    return [('HSET', 'lent', blocker, rng.choice([lane + NONE + bytes(7), bytes_of(rng, 16) + bytes(7), b'short']))]


def turns(rng, w):
    level = rng.randrange(10)
    flow = one(rng, w.turns[level])
    if not flow:
        return [('ZADD', f'turns:{level}', 7, bytes_of(rng, 8))]
    tag = int(w.turns[level][flow])
    return rng.choice([
        [('ZREM', f'turns:{level}', flow)], [('ZADD', f'turns:{(level + 1) % 10}', tag + 1, flow)],
        [('ZADD', f'turns:{level}', int((w.virtual + w.wrap * 0.7) % w.wrap), flow)], [('ZADD', 'tags', tag, flow)],
    ])


def held(rng, w):
    leased = [ulid for ulid, raw in w.held.items() if len(raw) == 8]
    others = [ulid for ulid, m in w.message.items() if m['state']['state'] in 'wUAD']
    if leased and rng.random() < 0.5:
        return [('HDEL', 'held', one(rng, leased))]
    ulid = one(rng, others) or bytes_of(rng, 26)
    return [('HSET', 'held', ulid, rng.choice([NONE, b'short', NONE + bytes(10)]))]


def flight(rng, w):
    blocker = one(rng, w.flight)
    if not blocker:
        return [('HSET', 'flight', bytes([1]) + bytes_of(rng, 8), 3)]
    return rng.choice([[('HDEL', 'flight', blocker)], [('HINCRBY', 'flight', blocker, 2)]])


def meta(rng, w):
    limit = one(rng, [limit[0] for limit in w.structure.limits])
    return limit and [('HINCRBY', 'meta', f'held:{limit[0]}', rng.choice([-1, 3]))]
