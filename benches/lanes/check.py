"""Random steps in virtual time: the scripts must choose what the model chooses, and keep what is promised."""
import math, random
from messages import MINUTE_US, NONE, Limit, Message, Structure, hash8, ulid
from model import Model
from redis_wire import Scripts

START_US = 1_790_000_000_000_000


def structure(rng):
    """A queue at random: no promise may hang on a certain combination."""
    limits = []
    kinds = rng.sample(['rate', 'rate_a', 'rate_b', 'calls_a', 'calls_b', 'quota', 'quota_a'], rng.randint(0, 4))
    for number, kind in enumerate(kinds, 1):
        per = {'a': 'a', 'b': 'b'}.get(kind[-1], '') if '_' in kind else ''
        letter = {'rate': 'r', 'call': 'c', 'quot': 'q'}[kind[:4]]
        a, b = {'r': (rng.choice([1000, 25_000, 333_333.25]), rng.randint(1, 3)), 'c': (rng.randint(1, 2), 0),
                'q': (rng.randint(3, 30), START_US // MINUTE_US + 1)}[letter]
        limits.append(Limit(bytes([number]), letter, per, a, b))
    return Structure(
        order_by=rng.choice(['', 'a', 'c']), fair_by=rng.choice(['', 'a', 'b']), levels=rng.choice([1, 1, 3]),
        aging_ms=rng.choice([0, 50]), horizon_us=rng.choice([0, 50_000]), wrap=2 ** rng.choice([25, 28, 52]), limits=limits)


class Run:
    def __init__(self, redis, layout, seed, structure_of=None, weights=None):
        self.rng = random.Random(seed)
        self.redis, self.scripts = redis, Scripts(redis, layout)
        redis('FLUSHALL')
        self.s = structure_of or structure(self.rng)
        weights = {hash8('0'): 5000, hash8('1'): 300} if weights is None else weights
        for flow, weight in weights.items():
            redis('HSET', '{t}:weights', flow, weight)
        self.model = Model(self.s, weights)
        self.now_us, self.number, self.spread = START_US, 0, self.rng.choice([3, 30])
        self.waiting, self.leased, self.later = {}, {}, {}
        self.slots = []

    def step(self, name, *rows):
        return self.scripts(name, *self.s.args(self.now_us), *rows)

    def new(self):
        self.number += 1
        labels = {name: str(self.rng.randrange(self.spread)) for name in 'abc' if self.rng.random() < 0.9}
        due_ms = self.now_us // 1000 - self.rng.choice([0, 0, 0, 5, 40])
        cost = self.rng.choice([1, 1, 1, 2, 3])
        return Message(ulid(due_ms, self.rng.getrandbits(70)), self.rng.randrange(3), due_ms, self.number, cost, labels)

    def enter(self):
        messages = [self.new() for _ in range(self.rng.randint(1, 8))]
        self.step('enter', *[x for m in messages for x in (m.ulid, m.record(), '0')])
        for m in messages:
            self.model.enter(m, self.now_us)
            self.waiting[m.ulid] = m

    def schedule(self):
        """Some for later, and now and then more at one instant than a claim brings in."""
        many = self.rng.random() < 0.1 and self.s.order_by
        due_ms = self.now_us // 1000 + self.rng.choice([0, 1, 30])
        for _ in range(90 if many else 4):
            m = self.new()
            m.due_ms = due_ms
            self.step('schedule', m.ulid, m.record(), due_ms, '0')
            self.model.due_later.append((due_ms, m.ulid, m))
            self.waiting[m.ulid] = m

    def enter_again(self):
        for m in [self.later.pop(u) for u in list(self.later)[:3]]:
            self.step('enter', m.ulid, m.record(), '1')
            self.model.enter(m, self.now_us)
            self.waiting[m.ulid] = m

    def claim(self, wanted=None):
        wanted = wanted or self.rng.choice([1, 2, 5, 20])
        code, _, _, *rows = self.step('claim', wanted, 't' * 20, 99)
        got = [(rows[i], float(rows[i + 1])) for i in range(0, len(rows), 3)]
        virtual = self.model.virtual
        expected, taken, _ = self.model.claim(wanted, self.now_us)
        assert [u for u, _ in got] == [u for u, _ in taken], f'other messages: {got} instead of {taken} {virtual=}'
        assert all(abs(a - b) < 0.01 for (_, a), (_, b) in zip(got, taken)), f'other slots: {got} instead of {taken}'
        assert code == expected, f'code {code} instead of {expected}'
        for u, slot_us in got:
            m = self.leased[u] = self.waiting.pop(u)
            self.promised(m, slot_us)
        if code == 2:
            self.nothing_left()

    def promised(self, message, slot_us):
        """Order and limits, told from what was taken alone."""
        order = message.key(self.s.order_by)
        others = [m for m in self.leased.values() if m is not message and m.key(self.s.order_by) == order != NONE]
        assert not others, f'two messages of an order key at once: {message} {others}'
        if order != NONE and not message.begun:
            older = [m for m in self.waiting.values() if m.key(self.s.order_by) == order and not m.begun
                     and m.due_ms <= self.now_us // 1000 and m.place < message.place]
            assert not older, f'{message} overtakes {older}'
        self.slots.append((slot_us, message))
        for limit in self.s.limits:
            mine = [(at, m) for at, m in self.slots if m.key(limit.per) == message.key(limit.per)]
            if limit.kind == 'c':
                calls = [m for m in self.leased.values() if m.key(limit.per) == message.key(limit.per)]
                assert len(calls) <= limit.a, f'too many calls: {limit}'
            elif limit.kind == 'q':
                units = sum(m.cost for at, m in mine if at // MINUTE_US == limit.b - 1 and not getattr(m, 'given', 0))
                assert units <= limit.a, f'quota passed: {units} of {limit}'
            else:
                for start, _ in mine[-20:]:
                    window = [m.cost for at, m in mine if start <= at <= slot_us]
                    most = (slot_us - start) / limit.a + limit.b + 3 - 1
                    assert sum(window) <= most + 0.01, f'too fast: {window} since {start}, {limit}'

    def nothing_left(self):
        """The claim said that nothing can start: no head of a lane may pass all its limits."""
        last_us = min([self.now_us + self.s.horizon_us] + [l.b * MINUTE_US - 1 for l in self.s.limits if l.kind == 'q'])
        model = self.model
        for lane in model.lanes.values():
            # Behind a message that does not fit into a quota others wait, and so they do behind its blocker.
            if lane.holder or any(l.kind == 'q' and l.per for l in self.s.limits):
                continue
            # A blocker that looks again at lanes refused or flows held waits 50 ms, or as long as it has waited.
            _, _, since_us = model.lent.get(lane.blocker, (None, None, 0))
            age_us = self.now_us - since_us if since_us else 0
            if lane.blocker and model.waits[lane.blocker] <= last_us + max(50_000, age_us):
                continue
            slot_us, worst = model.refused(lane.first(), 1, self.now_us, last_us)
            assert worst or self.blocked_beside(lane, last_us), f'{lane.first()} could start'

    def blocked_beside(self, lane, last_us):
        return lane.first().place != lane.head.place

    def settle(self):
        for u in self.rng.sample(sorted(self.leased), min(len(self.leased), self.rng.randint(1, 6))):
            m = self.leased.pop(u)
            how = self.rng.choice(['done', 'done', 'retry'])
            skip_us = self.now_us + self.rng.choice([5_000, 100_000]) if how == 'retry' and self.rng.random() < 0.5 else None
            self.step('settle', u, how, 'inf' if skip_us is None else skip_us)
            self.model.settle(m, how, skip_us, self.now_us)
            m.begun = True
            if how == 'retry':
                self.later[u] = m

    def back(self):
        for u in self.rng.sample(sorted(self.leased), min(len(self.leased), self.rng.randint(1, 3))):
            m = self.leased.pop(u)
            m.begun = m.begun or self.rng.random() < 0.3
            m.given = 1
            self.slots = [(at, x) for at, x in self.slots if x is not m or self.limits_rates()]
            self.step('back', u, '1' if m.begun else '0')
            self.model.back(m, self.now_us)
            self.waiting[u] = m

    def limits_rates(self):
        return any(limit.kind == 'r' for limit in self.s.limits)

    def cancel(self):
        later = {u for _, u, _ in self.model.due_later}
        pool = {u: m for u, m in {**self.waiting, **self.later}.items() if u not in later}
        for u in self.rng.sample(sorted(pool), min(len(pool), self.rng.randint(1, 3))):
            m = pool[u]
            self.waiting.pop(u, None)
            self.later.pop(u, None)
            left = self.step('cancel', u, '1' if m.begun else '0')
            expected = self.model.cancel(m, self.now_us)
            assert left == expected, f'cancelled {left} instead of {expected}: {m}'

    def audit(self):
        """What is stored agrees with the model, structure by structure."""
        read, model = self.redis, self.model
        lanes = model.lanes.values()
        opened = {m[19:] for m in read('ZRANGE', '{t}:open', 0, -1)}
        assert opened == {lane.key for lane in lanes if lane.is_open}, 'open'
        parked = {(m[28:], m[:9]) for m in read('ZRANGE', '{t}:parked', 0, -1)}
        assert parked == {(lane.key, lane.blocker) for lane in lanes if lane.blocker}, 'parked'
        assert set(read('HKEYS', '{t}:heads')) >= {lane.key for lane in lanes}, 'heads'
        lent = {lane for _, lane in self.pairs(read('HGETALL', '{t}:lent')) if lane[:8] != NONE}
        assert {lane[:8] for lane in lent} <= opened, 'a lent lane is not open'
        waits = {member for member in read('ZRANGE', '{t}:waits', 0, -1) if member[0]}
        held = {blocker for _, blocker in parked}
        flows = {b for b in waits if model.limit(b) in model.of_flows()}
        assert waits - flows == held, f'blockers: {waits} {held}'
        assert waits == set(model.waits), f'blockers: {waits} {set(model.waits)}'
        for level in range(self.s.levels):
            turns = self.pairs(read('ZRANGE', f'{{t}}:turns_{level}', 0, -1, 'WITHSCORES'))
            assert {f: int(tag) for f, tag in turns} == {f: model.tags[f] for f in model.open_flows(level)}, 'turns'
        assert {b: int(n) for b, n in self.pairs(read('HGETALL', '{t}:flight'))} == {
            b: n for b, n in model.flight.items() if n}, 'flight'

    @staticmethod
    def pairs(flat):
        return list(zip(flat[::2], flat[1::2]))

    def drain(self):
        """Nothing is left of a queue that everything has left, once its periods are over."""
        self.redis('DEL', '{t}:due')
        for m in list(self.waiting.values()) + list(self.later.values()):
            self.step('cancel', m.ulid, '1' if m.begun else '0')
        for u in list(self.leased):
            self.step('settle', u, 'done', 'inf')
        self.now_us += 86_400_000_000
        self.turn_period()
        for _ in range(20):
            self.step('claim', 20, 't' * 20, 99)
        left = [key for key in self.redis('KEYS', '*') if key not in (b'{t}:weights',)]
        assert not left, f'left behind: {left}'

    def all(self, steps):
        for _ in range(steps):
            act = self.rng.choices(
                [self.enter, self.claim, self.settle, self.back, self.cancel, self.enter_again, self.schedule, self.audit],
                [30, 30, 15, 4, 6, 6, 3, 3])[0]
            act()
            self.now_us += self.rng.choice([0, 0, 100, 5_000, 40_000])
            if any(l.kind == 'q' and l.b * MINUTE_US <= self.now_us for l in self.s.limits):
                self.turn_period()
        self.audit()
        self.drain()

    def turn_period(self):
        for limit in self.s.limits:
            if limit.kind == 'q':
                limit.b = self.now_us // MINUTE_US + 1


def check(redis, layout, seed, steps):
    run = Run(redis, layout, seed)
    try:
        run.all(steps)
    except Exception as fault:
        raise AssertionError(f'layout {layout}, seed {seed}: {fault}\n{run.s}') from fault
    return steps
