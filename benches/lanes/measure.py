"""The tables: bytes, microseconds of each step, and the work of a claim beside blocked lanes."""
import random, statistics
from messages import Limit, Message, Structure, hash8, ulid
from redis_wire import LAYOUTS, Scripts

START_US = 1_790_000_000_000_000
# What a claim answers when it has moved as many lanes as one call may.
AGAIN = 3
FORMS = ['list'] + LAYOUTS


class Queue:
    """A queue in one of the forms, in a database of its own, so that forms can take turns."""

    def __init__(self, redis, form, structure, key_of, seed=1):
        self.redis, self.form, self.s, self.key_of = redis, form, structure, key_of
        self.scripts = Scripts(redis, LAYOUTS[0] if form == 'list' else form)
        self.rng, self.number, self.now_us = random.Random(seed), 0, START_US
        redis('SELECT', FORMS.index(form))

    def name(self, step):
        return f'ready_{step}' if self.form == 'list' else step

    def timed(self, step, calls, messages):
        """Calls of one step; microseconds and commands a message."""
        self.redis('SELECT', FORMS.index(self.form))
        calls = [self.scripts.call(self.name(step), *self.args(), *rows) for rows in calls]
        self.redis('CONFIG', 'RESETSTAT')
        replies = self.redis.many(calls)
        _, usec, commands = self.redis.script_stats()
        self.now_us += 1000
        count = messages(replies)
        return usec / max(1, count), commands / max(1, count), replies

    def args(self):
        return Structure().args(self.now_us) if self.form == 'list' else self.s.args(self.now_us)

    def new(self, labels=None):
        self.number += 1
        due_ms = self.now_us // 1000
        labels = labels or self.key_of(self.number, self.rng)
        return Message(ulid(due_ms, self.rng.getrandbits(70)), 0, due_ms, self.number, 1, labels)

    def rows(self, messages):
        return [x for m in messages for x in (m.ulid, m.record(), '0')]

    def fill(self, count, size=500):
        for at in range(0, count, 20 * size):
            calls = [self.rows([self.new() for _ in range(size)]) for _ in range(min(20, (count - at) // size))]
            self.timed('enter', calls, len)

    def enter(self, calls, size):
        return self.timed('enter', [self.rows([self.new() for _ in range(size)]) for _ in range(calls)], sum)

    def claim(self, calls, wanted):
        """Also the ulids, call by call."""
        us, commands, replies = self.timed(
            'claim', [[wanted, 't' * 20, 1] for _ in range(calls)], lambda replies: sum(len(r) - 3 for r in replies) // 3)
        self.code = replies[-1][0]
        return us, commands, [reply[3::3] for reply in replies]

    def exhaust(self):
        """Takes and settles all that can go, however often a claim has to be asked again; how many claims."""
        claims = 0
        while True:
            _, _, taken = self.claim(1, 100)
            claims += 1
            if taken[0]:
                self.settle(taken)
            elif self.code != AGAIN:
                return claims

    def settle(self, taken):
        rows = [[x for u in ulids for x in (u, 'done', 'inf')] for ulids in taken if ulids]
        return self.timed('settle', rows, lambda _: sum(map(len, taken)))

    def leave(self, step, calls):
        return self.timed(step, [[x for u in ulids for x in (u, '0')] for ulids in calls if ulids],
                          lambda _: sum(map(len, calls)))

    def used(self):
        self.redis('SELECT', FORMS.index(self.form))
        return int(self.redis.info('memory')['used_memory'])


def keys(count):
    return lambda number, rng: {'a': str(number % count)}


def table(title, head, rows):
    print(f'\n{title}\n\n| {" | ".join(head)} |\n|{"---|" * len(head)}')
    for row in rows:
        print('| ' + ' | '.join(str(x) for x in row) + ' |')


def middle(values):
    return f'{statistics.median(values):.1f}'


def low(values):
    """The quarter of the calls that nothing disturbed ends here."""
    return f'{sorted(values)[len(values) // 4]:.1f}'


KINDS = {
    'shares': Structure(fair_by='a'),
    'order': Structure(order_by='a'),
    'shares and a rate and calls by key': Structure(fair_by='a', limits=[
        Limit(b'\1', 'r', 'a', 1.0, 1000), Limit(b'\2', 'c', 'a', 1000)]),
}


def measure_bytes(redis, scale):
    count, rows = int(100_000 * scale), []
    for name, structure in KINDS.items():
        for form in FORMS:
            if form == 'list' and name != 'shares':
                continue
            row = [name if form != 'list' else 'none', form]
            for busy in (1, 10, 1000, 100_000):
                redis('FLUSHALL')
                queue = Queue(redis, form, structure, keys(min(busy, count)))
                before = queue.used()
                queue.fill(count)
                index = queue.used() - before
                redis('DEL', '{t}:records')
                row.append(f'{(queue.used() - before) / count:.0f} ({index / count:.0f})')
            rows.append(row)
    table('Bytes a message of the index (with its record), 100,000 messages', ['keys used for', 'form', '1 key', '10', '1,000',
          '100,000'], rows)


def measure_steps(redis, scale):
    rows, rounds = [], max(2, int(8 * scale))
    for kind, structure in KINDS.items():
        for busy in (10, 1000, 100_000):
            redis('FLUSHALL')
            queues = {form: Queue(redis, form, structure, keys(busy)) for form in FORMS}
            for queue in queues.values():
                queue.fill(int(100_000 * scale))
            found = {(form, step): [] for form in FORMS for step in ('enter', 'claim', 'settle', 'back', 'cancel', 'commands')}
            for number in range(rounds):
                for form in FORMS if number % 2 else reversed(FORMS):
                    turn(queues[form], found, structure, busy)
            for form in FORMS:
                rows.append([kind, f'{busy:,}', form] + [
                    low(found[form, step]) if found[form, step] else ''
                    for step in ('enter', 'claim', 'settle', 'back', 'cancel', 'commands')])
    table('Microseconds a message, 100 in a call, 100,000 waiting, lower quartile', ['keys used for', 'keys', 'form', 'enter', 'claim',
          'settle', 'back', 'cancel', 'commands of a claimed one'], rows)


def turn(queue, found, structure, busy):
    form = queue.form
    us, _, _ = queue.enter(10, 100)
    found[form, 'enter'].append(us)
    wanted = 10 if structure.order_by and busy == 10 else 100
    taken = []
    for _ in range(10):
        # With order by few keys only the heads can go, so that each claim is settled before the next.
        us, commands, ulids = queue.claim(1, wanted)
        found[form, 'claim'].append(us)
        found[form, 'commands'].append(commands)
        us, _, _ = queue.settle(ulids)
        found[form, 'settle'].append(us)
    if form == 'list':
        return
    us, _, taken = queue.claim(1, wanted)
    us, _, _ = queue.leave('back', taken)
    found[form, 'back'].append(us)
    waiting = [queue.new() for _ in range(100)]
    queue.timed('enter', [queue.rows(waiting)], sum)
    us, _, _ = queue.leave('cancel', [[m.ulid for m in waiting]])
    found[form, 'cancel'].append(us)


def measure_single(redis, scale):
    rows = []
    for form in ('list', 'split'):
        redis('FLUSHALL')
        queue = Queue(redis, form, KINDS['shares and a rate and calls by key'], keys(1000))
        queue.fill(int(20_000 * scale))
        enter, claim, settle = [], [], []
        for _ in range(int(300 * scale)):
            enter.append(queue.enter(1, 1)[0])
            us, _, taken = queue.claim(1, 1)
            claim.append(us)
            settle.append(queue.settle(taken)[0])
        rows.append([form, low(enter), low(claim), low(settle)])
    table('Microseconds of a call with one message, lower quartile', ['form', 'enter', 'claim', 'settle'], rows)


def blocked_keys(redis, lanes):
    """So many keys that a limit of one an hour holds, and one free key with a message before each claim."""
    structure = Structure(order_by='a', limits=[Limit(b'\1', 'r', 'a', 3_600_000_000.0, 1)])
    redis('FLUSHALL')
    queue = Queue(redis, 'split', structure, lambda number, rng: {'a': str(number % lanes)})
    queue.fill(2 * lanes, min(lanes, 500))
    queue.exhaust()
    return [claim_beside(queue, [{'a': f'free {n}'}]) for n in range(200)]


def claim_beside(queue, labels):
    queue.now_us += 1_000_000
    queue.timed('enter', [queue.rows([queue.new(each) for each in labels])], sum)
    return queue.claim(1, 100)


def blocked_tenant(redis, lanes, per='t', fair_by='t'):
    """One tenant at 1/s with so many lanes, each with a recipient limit of its own, and ten free tenants."""
    structure = Structure(fair_by=fair_by, limits=[
        Limit(b'\1', 'r', per, 1_000_000.0, 1), Limit(b'\2', 'r', 'r', 60_000_000.0, 1)])
    redis('FLUSHALL')
    queue = Queue(redis, 'split', structure, lambda number, rng: {'t': 'flood', 'h': 'flood', 'r': f'r{number % lanes}'})
    queue.fill(2 * lanes, min(lanes, 500))
    queue.exhaust()
    free = [[{'t': f'free {i}', 'h': f'free {i}', 'r': f'free {n} {i}'} for i in range(10)] for n in range(60)]
    return [claim_beside(queue, labels) for labels in free]


def blocked_twice(redis, lanes):
    """So many lanes held by two limits that they share with one another, each of 1/s, and a free message beside them."""
    structure = Structure(limits=[Limit(b'\1', 'r', 'h', 1_000_000.0, 1), Limit(b'\2', 'r', 'g', 1_000_000.0, 1),
                                  Limit(b'\3', 'r', 'r', 60_000_000.0, 1)])
    redis('FLUSHALL')
    queue = Queue(redis, 'split', structure, lambda number, rng: {'h': '1', 'g': '1', 'r': f'r{number % lanes}'})
    queue.fill(2 * lanes, min(lanes, 500))
    queue.exhaust()
    # Others use up now the one limit, now the other.
    others = [{'h': '1', 'g': 'x'}, {'h': 'x', 'g': '1'}]
    return [claim_beside(queue, [{**others[n % 2], 'r': f'o{n}'}, {'h': f'f{n}', 'g': f'f{n}', 'r': f'f{n}'}])
            for n in range(60)]


BLOCKED = {
    'keys of one an hour, ordered': blocked_keys,
    'recipients of a tenant of 1/s, shares by tenant': blocked_tenant,
    'recipients of a host of 1/s, no shares': lambda redis, lanes: blocked_tenant(redis, lanes, 'h', ''),
    'recipients behind two limits of 1/s': blocked_twice,
}


def measure_blocked(redis, scale):
    rows = []
    for name, run in BLOCKED.items():
        for lanes in (10, int(100_000 * scale)):
            found = run(redis, lanes)
            counts = [max(1, len(taken[0])) for _, _, taken in found]
            us = sorted(us * count for (us, _, _), count in zip(found, counts))
            commands = [round(c * n) for (_, c, _), n in zip(found, counts)]
            rows.append([name, f'{lanes:,}', middle(counts), low(us), middle(us), middle(commands), max(commands)])
    table('A claim beside blocked lanes', ['blocked', 'lanes', 'messages a claim', 'us, lower quartile', 'median', 'commands', 'most'], rows)


def measure_flood(redis, scale):
    """A flood comes in before its limit is known to hold it; what a message of another tenant waits for meanwhile."""
    rows, lanes = [], int(100_000 * scale)
    for name, structure in {
        'tenant of 1/s, shares by tenant': Structure(fair_by='t', limits=[Limit(b'\1', 'r', 't', 1e6, 1), Limit(b'\2', 'r', 'r', 6e7, 1)]),
        'host of 1/s, shares by tenant': Structure(fair_by='t', limits=[Limit(b'\1', 'r', 'h', 1e6, 1), Limit(b'\2', 'r', 'r', 6e7, 1)]),
        'host of 1/s, no shares': Structure(limits=[Limit(b'\1', 'r', 'h', 1e6, 1), Limit(b'\2', 'r', 'r', 6e7, 1)]),
    }.items():
        redis('FLUSHALL')
        queue = Queue(redis, 'split', structure, lambda number, rng: {'t': 'flood', 'h': 'flood', 'r': f'r{number}'})
        queue.fill(lanes)
        other = queue.new({'t': 'other', 'h': 'other', 'r': 'other'})
        queue.timed('enter', [queue.rows([other])], sum)
        until, calls, times = None, 0, []
        while until is None or queue.code == AGAIN:
            us, _, taken = queue.claim(1, 64)
            queue.now_us -= 1000
            calls += 1
            times.append(us * max(1, len(taken[0])))
            if other.ulid in taken[0]:
                until = calls
        rows.append([name, until, calls, low(times), middle(times), f'{sum(times) / 1000:.0f}'])
    table('100,000 lanes that come before their limit holds them', ['limit', 'claims until the other tenant goes',
          'claims until all are parked', 'us, lower quartile', 'median', 'ms in all'], rows)


def measure_idle(redis, scale):
    """50,000 keys that became busy once: what is left a period later."""
    structure = Structure(order_by='a', fair_by='a', limits=[Limit(b'\1', 'r', 'a', 1_000_000.0, 1), Limit(b'\2', 'c', 'a', 1)])
    redis('FLUSHALL')
    count = int(50_000 * scale)
    queue = Queue(redis, 'split', structure, keys(count))
    before = queue.used()
    queue.fill(count)
    queue.exhaust()
    most = queue.used() - before
    queue.now_us += 1_000_000
    calls = 0
    while redis('EXISTS', '{t}:arrivals'):
        queue.claim(1, 500)
        calls += 1
    rest = [k.decode() for k in redis('KEYS', '*')]
    table('50,000 idle keys', ['bytes a key right after', 'claims until they are pruned', 'keys of Redis left', 'bytes left'],
          [[f'{most / count:.0f}', calls, ' '.join(rest) or 'none', queue.used() - before]])


LOOKUPS = {
    'read the head of a lane (`HGET`)': "rc('HGET', KEYS[1], lane)",
    'find the first of a lane in a sorted set (`ZRANGE BYLEX`)': "rc('ZRANGE', KEYS[2], '[' .. lane, '(' .. lane .. '\\255', 'BYLEX', 'LIMIT', 0, 1)",
    'ask whether a member stands in a sorted set (`ZSCORE`)': "rc('ZSCORE', KEYS[3], lane .. lane .. lane .. 'xxxxxx')",
    'ask two blockers for their time (`ZMSCORE`)': "rc('ZMSCORE', KEYS[3], lane .. '1', lane .. '2')",
    'make the id of a lane (`sha1hex`, without a call)': "local h = redis.sha1hex(lane .. lane .. lane); "
        "struct.pack('>I4I4', tonumber(string.sub(h, 1, 8), 16), tonumber(string.sub(h, 9, 16), 16))",
}


def measure_lookups(redis, scale):
    """Without `heads` a lane is found by its members: what one such question costs."""
    redis('FLUSHALL')
    lanes = int(100_000 * scale)
    queue = Queue(redis, 'split', Structure(order_by='a'), keys(lanes))
    queue.fill(2 * lanes)
    ids, rows = [hash8(str(n)) for n in range(0, lanes, max(1, lanes // 5000))], []
    text = "local rc = redis.call for i = 1, #ARGV do local lane = ARGV[i] %s end return 1"
    empty = None
    for name, body in {'': '', **LOOKUPS}.items():
        sha, found = redis('SCRIPT', 'LOAD', text % body), []
        for _ in range(5):
            redis('CONFIG', 'RESETSTAT')
            redis('EVALSHA', sha, 3, '{t}:heads', '{t}:rest', '{t}:open', *ids)
            found.append(redis.script_stats()[1] / len(ids))
        if empty is None:
            empty = min(found)
        else:
            rows.append([name, f'{min(found) - empty:.1f}'])
    table('Questions to 100,000 lanes with two messages each', ['question', 'us'], rows)


PARTS = {'bytes': measure_bytes, 'steps': measure_steps, 'single': measure_single, 'blocked': measure_blocked, 'flood': measure_flood,
         'idle': measure_idle, 'lookups': measure_lookups}


def measure(redis, only, scale):
    for name, part in PARTS.items():
        if not only or name in only:
            part(redis, scale)
