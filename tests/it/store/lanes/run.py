"""A queue in virtual time: what is done to it by the production scripts, and what is known of its messages beside them."""
import json, random
from collections import defaultdict
import audit
from damage import spoil
from model import LATE_BY_QUEUE_US
from messages import MINUTE_US, NONE, Limit, Message, Structure, hash8, ulid

START_US = 1_790_000_040_000_000
KEEP_MS = 3_600_000
NODE = b'node00000001'
TAIL = '{"o":"x"}'
(TAKEN, EMPTY, PAUSED, SHUT, CONCURRENCY, LIMIT, GATHERING, STALE, DOUBT, KEYS, OTHER) = range(11)


def limits_of(rng):
    """The limits that a queue may have; a name means the same limit for as long as the queue is there."""
    return {
        'rate': Limit('rate', 'rate', '', rng.choice([1000, 25_000, 333_333.25]), rng.randint(1, 3)),
        'pace': Limit('pace', 'rate', '', rng.choice([1000, 40_000]), rng.randint(1, 5), by_message=True),
        'day': Limit('day', 'quota', '', units=rng.randint(3, 60), period_ms=60_000, by_message=rng.random() < 0.5),
        'rate_a': Limit('rate_a', 'rate', 'a', rng.choice([1000, 25_000, 333_333.25]), rng.randint(1, 3)),
        'rate_b': Limit('rate_b', 'rate', 'b', rng.choice([1000, 25_000, 333_333.25]), rng.randint(1, 3)),
        'calls_a': Limit('calls_a', 'concurrency', 'a', units=rng.randint(1, 2)),
        'calls_b': Limit('calls_b', 'concurrency', 'b', units=rng.randint(1, 2)),
        'quota_a': Limit('quota_a', 'quota', 'a', units=rng.randint(3, 30), period_ms=rng.choice([60_000, 120_000])),
        'quota_b': Limit('quota_b', 'quota', 'b', units=rng.randint(3, 30), period_ms=60_000),
    }


def structure(rng, pool):
    """A queue at random: no promise may hang on a certain combination."""
    while True:
        limits = [pool[name] for name in rng.sample(sorted(pool), rng.randint(0, 4))]
        s = Structure(
            order_by=rng.choice(['', 'a', 'c']), until_final=rng.random() < 0.3, stall_ms=rng.choice([0, 0, 20, 400]),
            fair_by=rng.choice(['', 'a', 'b']), levels=rng.choice([1, 1, 3]), limits=limits,
            aging_ms=rng.choice([0, 0, 50]))
        if s.lines():
            return s


class Run:
    TAKEN, EMPTY, CONCURRENCY, LIMIT, GATHERING, STALE, DOUBT, KEYS = TAKEN, EMPTY, CONCURRENCY, LIMIT, GATHERING, STALE, DOUBT, KEYS

    def __init__(self, redis, scripts, seed, structure_of=None, weights=None, model_of=None, kind='plain'):
        self.steps = dict(self.STEPS, **self.KINDS[kind])
        self.rng = random.Random(seed)
        self.redis, self.scripts = redis, scripts
        redis('FLUSHALL')
        # So a scan has all in one page: other pages depend on hashes that the model does not know.
        redis('CONFIG', 'SET', 'zset-max-listpack-entries', 100_000 if kind in ('values', 'keys') else 128)
        self.pool = limits_of(self.rng)
        self.s = structure_of or structure(self.rng, self.pool)
        self.has_grants = kind == 'granted'
        if self.has_grants:
            # Limits without a key are those of the shard that grants.
            self.s.limits = [limit for limit in self.s.limits if limit.per]
        self.weights = {hash8('0'): 5000, hash8('1'): 300} if weights is None else weights
        # Shortly before a period of quotas ends.
        self.now_us = START_US - self.rng.choice([20_000, 1_000_000, 8_000_000])
        self.count = self.sequence = self.calls = 0
        self.spread = self.rng.choice([3, 30, 200])
        self.horizon_us, self.lead_us = self.rng.choice([0, 0, 50_000]), self.rng.choice([0, 0, 2000])
        self.batch_items = self.rng.choice([0, 0, 0, 4])
        self.concurrency = self.rng.choice([1000, 1000, 5])
        self.lease_ms = self.rng.choice([30_000, 30_000, 60])
        self.has_ttl = self.rng.random() < 0.3
        self.messages, self.slots, self.exchanges = {}, [], {}
        # What keys were given at run time, by their hashes: a weight, and limits by their names.
        self.own, self.values_given = {}, {}
        self.number, self.is_strict, self.is_switching, self.dangling = 0, 'always', False, set()
        self.commands_max = self.order_since = 0
        self.model, self.model_of = None, model_of
        self.propose(self.s)
        if model_of:
            self.model = model_of(self)

    # Calls.
    def call(self, verb, form='keyed', rows=(), **named):
        self.scripts.now_us = self.now_us
        return self.scripts(verb, form, rows, **named)

    def expected(self, in_doubt=False):
        """When a call is expected: now, or at some other time."""
        if in_doubt:
            return dict(earliest_us=self.now_us + 1, latest_us=self.now_us + 10)
        return dict(earliest_us=self.now_us - 1000, latest_us=self.now_us + 1000)

    def propose(self, s, has_other_values=False):
        rows = list(self.weights.items())
        told = self.call('propose', rows=rows, proposes=True, has_other_values=has_other_values, lines=s.lines(), rules='-', collapse='',
                         default_weight=1000)
        self.number = told['number']
        return told

    @property
    def now_ms(self):
        return self.now_us // 1000

    def of(self, *states):
        return [m for m in self.messages.values() if m.state in states]

    def some(self, pool, most):
        pool = sorted(pool, key=lambda m: m.ulid)
        return self.rng.sample(pool, min(len(pool), self.rng.randint(1, most)))

    # In.
    def new(self, due_ms=None):
        self.count += 1
        labels = {name: str(self.rng.randrange(self.spread)) for name in 'abc' if self.rng.random() < 0.9}
        if labels and self.rng.random() < 0.05:
            labels[self.rng.choice(sorted(labels))] = ''
        if due_ms is None:
            due_ms = self.now_ms + self.rng.choice([0, 0, 0, 0, -5, -40, 1, 30])
        m = Message(ulid(self.now_ms, self.rng.getrandbits(70)), self.rng.randrange(3), due_ms, 0,
                    self.rng.choice([1, 1, 1, 2, 3]), labels)
        if self.has_ttl and self.rng.random() < 0.4:
            m.expires_ms = max(due_ms, self.now_ms) + self.rng.choice([1, 60, 100_000])
        return m

    def put(self, messages, form='keyed'):
        self.calls += 1
        rows = []
        for number, m in enumerate(messages):
            fields = m.fields()
            wish = f'5{m.band}{"o" if fields else ""}{m.due_ms}' + (f'/{m.expires_ms}' if m.expires_ms else '')
            rows.append((m.ulid, wish, bytes([number]) + fields + b'\0\0' + b'y' * 20))
            m.sequence = self.sequence + number
            m.state = 'r' if m.due_ms <= self.now_ms else 's'
            self.messages[m.ulid] = m
        told = self.call('schedule', form, rows, window_ms=1000, caller=NODE + str(self.calls).encode(), version=3, width=3,
                         messages_max=0, bytes_max=0, key_max=0)
        assert told['sequence'] == self.sequence, told
        self.sequence += len(messages)
        if self.model:
            for m in messages:
                if m.state == 'r':
                    self.model.enter(m, self.now_us)

    def schedule(self):
        self.put([self.new() for _ in range(self.rng.randint(1, 8))])

    def flood(self):
        """More at one instant than a claim brings in."""
        due_ms = self.now_ms + self.rng.choice([0, 1, 30])
        self.put([self.new(due_ms) for _ in range(90)])

    def storm(self):
        """Much of one flow, or behind one blocker."""
        name, value = self.rng.choice('ab'), str(self.rng.randrange(self.spread))
        messages = [self.new() for _ in range(60)]
        for m in messages:
            m.labels[name] = value
            m.labels = {key: m.labels[key] for key in sorted(m.labels)}
        self.put(messages)

    def promote(self, in_doubt=False):
        most = self.rng.choice([3, 100])
        told = self.call('promote', **self.expected(in_doubt), most=most)
        if in_doubt:
            return
        world = audit.World(self.redis, self.scripts.circle)
        came = [m for m in self.of('s') if world.message[m.ulid]['entry'] not in world.due]
        assert len(came) == told['moved'], (told, came)
        assert all(m.due_ms <= self.now_ms for m in came)
        came.sort(key=lambda m: (m.due_ms, m.ulid))
        for m in came:
            m.state = 'r'
            if self.model:
                self.model.enter(m, self.now_us)

    # Out.
    def claim_call(self, wanted, sequence, in_doubt=False, before_us=0, batch_now=True, form='keyed', number=None, granted=None,
                   granted_units=1):
        number = self.number if number is None else number
        return self.call(
            'claim', form, keys_in_force=self.s.keys_in_force(number, self.now_us, granted), node=NODE, sequence=sequence, most=wanted,
            bytes_max=1 << 20, lease_ms=self.lease_ms, concurrency=self.concurrency,
            limit_lines=self.s.limit_lines(self.now_us), horizon_us=self.horizon_us, before_us=before_us,
            batch_items=self.batch_items, batch_bytes=1 << 20, batch_wait_ms=30, batch_now=batch_now,
            granted=None if granted is None else len(granted), granted_units=granted_units, is_pull=False,
            expired_keep_ms=KEEP_MS, lead_us=self.lead_us, **self.expected(in_doubt), hours="")

    def claim(self, wanted=None, in_doubt=False):
        if self.is_switching:
            return self.claim_while_switching()
        wanted = wanted or self.rng.choice([1, 2, 5, 20, 100])
        before_us = self.now_us + self.lead_us + 20_000 if self.rng.random() < 0.1 else 0
        batch_now = self.rng.random() < 0.7
        if self.model and self.model.anew:
            # Arrivals come down to what a burst explains, whatever costs they stand for: from here on the model alone says what passes.
            self.slots = []
        self.calls += 1
        sequence = b'%08d' % self.calls
        before = self.redis.commands()
        granted, units = self.grant() if self.has_grants else (None, 1)
        if self.model:
            self.model.granted, self.model.granted_units = granted, units
        told = self.claim_call(wanted, sequence, in_doubt, before_us, batch_now, granted=granted, granted_units=units)
        used = self.redis.commands() - before
        self.commands_max = max(self.commands_max, used)
        want = min(wanted, self.batch_items or 64)
        assert used <= 150 + 45 * (32 + want), f'a claim of {used} commands for {want} messages'
        assert told['code'] != OTHER, told
        got, slots = told.get('ulids', []), told.get('slots', [])
        if told['code'] == TAKEN:
            slots = slots * len(got) if len(slots) == 1 else slots
            assert len(slots) == len(got) > 0
        else:
            assert not got
        # What came in on the way: what is due, at a queue with order; and what was met and had expired.
        world = audit.World(self.redis, self.scripts.circle)
        came = [m for m in self.of('s') if world.message[m.ulid]['entry'] not in world.due]
        assert not came or (self.s.order_by and not in_doubt), came
        came.sort(key=lambda m: (m.due_ms, m.ulid))
        for m in came:
            m.state = 'r'
        lapsed = []
        for m in self.of('r'):
            state = world.message.get(m.ulid)
            if state and state['state']['state'] == 'E':
                assert m.expires_ms and m.expires_ms <= self.now_ms and not in_doubt, m
                lapsed.append(m)
        if self.model:
            self.model.check_claim(self, told, came, wanted, in_doubt, before_us, batch_now)
        for m in lapsed:
            m.state = 'E'
        token = NODE + sequence
        for u, slot_us in zip(got, slots):
            m = self.messages[u]
            self.promised(m, slot_us, in_doubt, granted)
            m.state, m.token, m.slot_us = 'L', token, slot_us
            m.attempts += 1
            m.deadline_ms = self.now_ms + self.lease_ms
            m.first_ms = m.first_ms or self.now_ms
            m.structure, m.is_alone = self.number, m.rescues >= 2
            if self.rng.random() < 0.02:
                again = self.claim_call(wanted, sequence)
                assert set(again['ulids']) <= set(got) and u in again['ulids'], (again, got)
        if self.batch_items and got:
            self.exchanges[token] = [len(got), self.now_ms + self.lease_ms]
        assert len(self.of('L')) <= self.concurrency or self.batch_items
        return [self.messages[u] for u in got]

    def grant(self):
        """Slots that the home slot of a queue with several shards gave a little earlier, and the units of the first of them."""
        from_us = self.now_us + self.lead_us - self.rng.choice([0, 3000])
        count = self.rng.choice([1, 2, 4, 20])
        slots = [from_us + self.rng.randrange(1 + max(self.horizon_us, 20_000)) for _ in range(count)]
        # Of a batch what its messages may cost together: where it takes one unit as a whole, as much as they like.
        return sorted(slots), self.rng.choice([1, 3, 10_000] if self.batch_items else [1, 1, 3])

    def free_calls(self, in_doubt):
        if not self.batch_items:
            return self.concurrency - len(self.of('L'))
        if not in_doubt:
            self.exchanges = {token: e for token, e in self.exchanges.items() if e[1] > self.now_ms}
        return self.concurrency - len(self.exchanges)

    def promised(self, m, slot_us, in_doubt, granted=None):
        """Order and limits, told from what was taken alone."""
        assert m.state == 'r', f'taken, and it is not ready: {m}'
        assert not m.expires_ms or m.expires_ms > self.now_ms, f'it has expired: {m}'
        last_us = self.now_us + self.lead_us + self.horizon_us
        is_known = slot_us in granted if granted is not None else self.now_us <= slot_us <= last_us
        assert is_known, f'a slot out of reach: {slot_us} {self.now_us}'
        s = self.s
        if m.has(s.order_by):
            key = m.key(s.order_by)
            others = [x for x in self.of('L') if x is not m and x.key(s.order_by) == key and m.has(s.order_by)
                      and x.structure >= self.order_since]
            assert not others, f'two messages of an order key at once: {m} {others}'
            if not m.begun and not in_doubt and self.is_strict:
                older = [x for x in self.of('r') if x.key(s.order_by) == key and not x.begun and x.place < m.place]
                older += [x for x in self.of('s') if x.key(s.order_by) == key and not x.begun and x.due_ms <= self.now_ms
                          and x.place < m.place]
                older = [x for x in older if not x.expires_ms or x.expires_ms > self.now_ms]
                assert not older, f'{m} overtakes {older}'
        self.slots.append((slot_us, m, m.cost))
        for limit in s.limits:
            self.promised_limit(limit, m, slot_us)

    def promised_limit(self, limit, m, slot_us):
        if limit.per:
            limit = limit.given(self.own.get(m.key(limit.per), {}).get(limit.name))
        mine = [(at, x, cost) for at, x, cost in self.slots if x.key(limit.per) == m.key(limit.per)]
        if not limit.per and self.batch_items and not limit.by_message:
            mine = []   # A call takes one unit; the model says which.
        if limit.kind == 'concurrency':
            calls = [x for x in self.of('L') if x.key(limit.per) == m.key(limit.per) and x.structure == self.number]
            assert len(calls) + 1 <= limit.units, f'too many calls: {limit} {m} {calls}'
        elif limit.kind == 'quota':
            period_us = limit.period_ms * 1000
            units = sum(cost for at, x, cost in mine if at // period_us == slot_us // period_us)
            assert units <= limit.units, f'quota exceeded: {units} of {limit} {m}'
        elif not (self.batch_items and not limit.per):
            # A rate lets a message start when there is room for one unit, and then takes all of it.
            late_us = LATE_BY_QUEUE_US if limit.per else 0
            for start, _, _ in mine[-20:]:
                before = sum(cost for at, x, cost in mine[:-1] if start <= at <= slot_us)
                most = (slot_us - start + late_us + 2) / limit.period_us + limit.burst - 1
                assert start > slot_us or before <= most + 0.01, f'too fast: {before} units since {start}, {limit}'

    # Settled.
    def ended(self, messages, tokens=None):
        """Exchanges whose last message is this."""
        ended = []
        for m in messages:
            exchange = self.exchanges.get(m.token)
            if exchange:
                exchange[0] -= 1
                if exchange[0] == 0:
                    ended.append(m.token)
                    del self.exchanges[m.token]
        return b''.join(ended)

    def verdicts(self, told, messages, expected=0):
        assert told['rows'] == [expected] * len(messages), (told, messages)

    def settle(self):
        how = self.rng.choice(['ack', 'ack', 'ack', 'ack_mixed', 'accept', 'retry', 'throttle', 'bury', 'park', 'release', 'hold'])
        messages = self.some(self.of('L'), 6)
        if messages:
            getattr(self, how)(messages)

    def ack(self, messages, tokens=None, form='keyed'):
        tokens = tokens or [m.token for m in messages]
        told = self.call('ack', form, rows=[(m.ulid, TAIL) for m in messages], exchanges=self.ended(messages), keep_ms=KEEP_MS,
                         tokens=b''.join(tokens))
        self.verdicts(told, messages)
        for m in messages:
            self.end(m, 'D')

    def ack_mixed(self, messages):
        """Twice the same in a call: they are judged one by one."""
        rows = [(m.ulid, TAIL) for m in messages + messages[:1]]
        tokens = b''.join(m.token for m in messages + messages[:1])
        told = self.call('ack', rows=rows, exchanges=self.ended(messages), keep_ms=KEEP_MS, tokens=tokens)
        assert told['rows'] == [0] * len(messages) + [1], told
        for m in messages:
            self.end(m, 'D')

    def end(self, m, state):
        if self.model:
            self.model.lease_ends(m, True, self.now_us)
        m.state = state
        if self.model:
            self.model.holder_leaves(m, self.now_us)

    def accept(self, messages):
        told = self.call('accept', rows=[(m.ulid, m.token, TAIL, '') for m in messages], exchanges=self.ended(messages),
                         delivered_keep_ms=KEEP_MS, dead_keep_ms=KEEP_MS)
        self.verdicts(told, messages)
        for m in messages:
            self.end(m, 'A')

    def bury(self, messages):
        told = self.call('bury', rows=[(m.ulid, m.token, TAIL) for m in messages], exchanges=self.ended(messages), signs='',
                         keep_ms=KEEP_MS, is_suspect=False, reason='', delivered_keep_ms=KEEP_MS)
        self.verdicts(told, messages)
        for m in messages:
            self.end(m, 'X')

    def park(self, messages):
        told = self.call('park', rows=[(m.ulid, m.token, TAIL) for m in messages], exchanges=self.ended(messages), signs='',
                         probe_after_ms=None, delivered_keep_ms=KEEP_MS, dead_keep_ms=KEEP_MS)
        self.verdicts(told, messages)
        for m in messages:
            self.end(m, 'U')

    def retry(self, messages, is_throttle=False):
        delays = [self.rng.choice([0, 1, 30, 100]) for _ in messages]
        told = self.call('retry', rows=[(m.ulid, m.token, d, int(is_throttle), TAIL) for m, d in zip(messages, delays)],
                         exchanges=self.ended(messages), signs='', delivered_keep_ms=KEEP_MS, dead_keep_ms=KEEP_MS)
        self.verdicts(told, messages)
        for m, delay_ms in zip(messages, delays):
            if self.model:
                self.model.lease_ends(m, True, self.now_us)
            m.due_ms, m.state = self.now_ms + delay_ms, 's' if delay_ms else 'r'
            if is_throttle:
                m.attempts, m.throttles = m.attempts - 1, m.throttles + 1
            if self.model:
                self.model.holder_leaves(m, self.now_us)
        for m in messages:
            if m.state == 'r' and self.model:
                self.model.enter(m, self.now_us)

    def throttle(self, messages):
        self.retry(messages, True)

    def release(self, messages, hold=False):
        quotas = ''.join(line + '\n' for line in self.s.limit_lines(self.now_us).splitlines() if line.startswith('quota'))
        # A quota that came in force after the claim gets back what it has not given: only few, at a reload.
        surely = [m.structure == self.number and self.rng.random() < 0.8 for m in messages]
        slots = [m.slot_us if sure else 0 for m, sure in zip(messages, surely)]
        units = [(m.cost, m.cost) for m in messages]
        if self.batch_items:
            units = [(0, m.cost) for m in messages]
        if hold:
            rows = [(m.ulid, m.token, '', slot, *u) for m, slot, u in zip(messages, slots, units)]
            told = self.call('defer', rows=rows, exchanges=self.ended(messages), signs='', kind='hold', shut_ms=None, reason='',
                             limit_lines=quotas, keep_ms=KEEP_MS)
        else:
            rows = [(m.ulid, m.token, slot, *u) for m, slot, u in zip(messages, slots, units)]
            told = self.call('release', rows=rows, exchanges=self.ended(messages), limit_lines=quotas, keep_ms=KEEP_MS)
        self.verdicts(told, messages)
        self.come_back(messages, dict(zip(messages, surely)))

    def hold(self, messages):
        self.release(messages, True)

    def come_back(self, messages, surely):
        """They are given back; `surely` says of which the call surely did not start."""
        for m in messages:
            if self.model:
                self.model.lease_ends(m, not surely[m], self.now_us)
            m.attempts, m.state = max(0, m.attempts - 1), 'r'
            if m.attempts == 0 and m.throttles == 0:
                m.first_ms = 0
            if surely[m]:
                self.forget_quotas(m)
                if self.model:
                    self.model.wide.give_back(m.slot_us, 0 if self.batch_items else m.cost, m.cost)
            if self.model:
                self.model.holder_leaves(m, self.now_us)
        # The script goes backwards.
        for m in reversed(messages):
            if self.model:
                self.model.enter(m, self.now_us)
                if surely[m]:
                    self.model.gives_back(m)

    def forget_quotas(self, m):
        """Quotas count it no more; rates do."""
        if any(limit.kind == 'rate' for limit in self.s.limits) and not any(l.kind == 'quota' for l in self.s.limits):
            return
        mine = [i for i, (_, x, _) in enumerate(self.slots) if x is m]
        if mine:
            del self.slots[mine[-1]]

    def receive(self):
        for m in self.some(self.of('A'), 2):
            said = self.rng.choice('DX')
            told = self.call('receive', named_ulid=m.ulid, reference='', said=said, detail='', delivered_keep_ms=KEEP_MS,
                             dead_keep_ms=KEEP_MS, kept_ms=0)
            assert told['code'] == 0, told
            m.state = said
            if self.model:
                self.model.ends(m, self.now_us)

    def resolve(self):
        for m in self.some(self.of('U'), 2):
            how = self.rng.choice(['delivered', 'dead', 'resend'])
            told = self.call('resolve', ulid=m.ulid, decision=how, keep_ms=KEEP_MS, tail='', probe_token='')
            assert told['code'] == 0, told
            if how == 'resend':
                m.state, m.due_ms = 'r', self.now_ms
                if self.model:
                    self.model.enter(m, self.now_us)
            else:
                m.state = 'D' if how == 'delivered' else 'X'
                if self.model:
                    self.model.ends(m, self.now_us)

    def reap(self):
        parks, is_alarm = self.rng.random() < 0.3, 'values' in self.steps and self.rng.random() < 0.2
        if is_alarm and self.model:
            self.model.anew = self.model.anew or 'arrivals'
        told = self.call('reap', **self.expected(), most=100, parks=parks, dead_keep_ms=KEEP_MS, parked_tail=TAIL,
                         poison_tail=TAIL, lease_ms=self.lease_ms if is_alarm else 0, probe_after_ms=None, delivered_keep_ms=KEEP_MS)
        world = audit.World(self.redis, self.scripts.circle)
        back = []
        leased = [m for m in self.of('L') if m.ulid not in world.leased]
        leased.sort(key=lambda m: (m.deadline_ms, m.ulid))
        assert len(leased) == told['reaped'] + told['parked'] + told['poisoned'], (told, leased)
        for m in leased:
            state = world.message[m.ulid]['state']['state']
            m.rescues += 1
            m.previous, m.token = m.token, b''
            if state == 'w':
                back.append(m)
            else:
                assert (state == 'U') == parks, state
                self.end(m, state)
        for m in back:
            if self.model:
                self.model.lease_ends(m, True, self.now_us)
            m.state = 'r'
            if self.model:
                self.model.holder_leaves(m, self.now_us)
        for m in reversed(back):
            if self.model:
                self.model.enter(m, self.now_us)

    def late_success(self):
        pool = [m for m in self.of('r', 'U', 's') if getattr(m, 'previous', b'')]
        for m in self.some(pool, 2) if pool else []:
            told = self.call('ack', rows=[(m.ulid, TAIL)], exchanges='', keep_ms=KEEP_MS, tokens=m.previous)
            assert told['rows'] in ([4], [2]), told
            if told['rows'] == [4]:
                self.leaves(m, 'D')

    def leaves(self, m, state):
        """It ends where it waits."""
        if self.model:
            self.model.leaves(m, self.now_us)
        m.state = state

    # Operators.
    def cancel(self, form='keyed'):
        messages = self.some(self.of('r', 's', 'U'), 3)
        if not messages:
            return
        told = self.call('cancel', form, [(m.ulid,) for m in messages], keep_ms=KEEP_MS)
        assert told['rows'][::2] == [0] * len(messages), told
        for m in sorted(messages, key=lambda m: m.state != 'r'):
            self.leaves(m, 'C')

    def expire(self):
        self.call('expire', **self.expected(), most=100, keep_ms=KEEP_MS)
        found = [m for m in self.of('r', 's') if m.expires_ms and m.expires_ms <= self.now_ms]
        found = sorted(found, key=lambda m: (m.expires_ms, m.ulid))[:100]
        # A lane that was busy for one of them is freed when the call writes, after those behind it have left.
        for m in sorted(found, key=lambda m: m.state != 'r'):
            self.leaves(m, 'E')

    def requeue(self):
        messages = self.some(self.of('X', 'E', 'C', 'U'), 3)
        messages = [m for m in messages if not getattr(m, 'moved', False)]
        if not messages:
            return
        told = self.call('requeue', rows=[(m.ulid,) for m in messages], cutoff_ms=None)
        assert told['rows'][::2] == [0] * len(messages), told
        for m in messages:
            m.state, m.due_ms, m.attempts, m.throttles, m.rescues, m.first_ms = 'r', self.now_ms, 0, 0, 0, 0
            m.token = m.previous = b''
            if m.expires_ms and m.expires_ms <= self.now_ms:
                m.expires_ms = 0
        for m in messages:
            if self.model:
                self.model.enter(m, self.now_us)

    def reschedule(self):
        for m in self.some(self.of('r', 's'), 2):
            due_ms = self.rng.choice([None, self.now_ms - 3, self.now_ms, self.now_ms + 20])
            band = self.rng.choice([None, 0, 1, 2])
            told = self.call('reschedule', ulid=m.ulid, due_at='' if due_ms is None else due_ms,
                             ranks='' if band is None else f'5{band}', expires_at='', with_payload=False, payload='')
            if told['code'] == 6:
                assert m.expires_ms, m
                continue
            assert told['code'] == 0, told
            if due_ms is None and band is None:
                continue
            new_due, new_band = m.due_ms if due_ms is None else due_ms, m.band if band is None else band
            if m.state == 'r' and due_ms is None and new_band == m.band and new_due <= self.now_ms:
                continue
            if self.model:
                self.model.leaves(m, self.now_us)
            m.due_ms, m.band, m.state = new_due, new_band, 'r' if new_due <= self.now_ms else 's'
            if m.state == 'r' and self.model:
                self.model.enter(m, self.now_us)

    def move(self):
        messages = self.some(self.of('r', 's'), 2)
        if not messages:
            return
        told = self.call('move', rows=[(m.ulid, m.ulid, m.ulid) for m in messages], what='begin', cutoff_ms=self.now_ms,
                         wanted='w', keep_ms=KEEP_MS)
        assert told['rows'][::5] == [0] * len(messages), told
        for m in messages:
            self.leaves(m, 'C')
            m.moved = True

    def purge(self):
        what = self.rng.choice(['scheduled', 'cancelled', 'dead', 'ready'])
        cutoff, cursor = self.now_ms if what in ('cancelled', 'dead') else '7' + 'Z' * 9, ''
        for _ in range(self.rng.randint(1, 3)):
            world = audit.World(self.redis, self.scripts.circle)
            told = self.call('purge', what=what, most=2, cutoff=cutoff, keep_ms=KEEP_MS, cursor=cursor)
            self.purged(world, what == 'ready')
            cursor = told['next_cursor'].decode()
            if not cursor:
                break

    def purged(self, before, is_ready):
        """What of it has gone, in the order in which the script met it."""
        world = audit.World(self.redis, self.scripts.circle)
        for u in [u for u in self.messages if u not in world.message]:
            assert self.messages[u].state in 'CX', self.messages[u]
            del self.messages[u]
        order = [member[18:] for member in before.rest] + [h['ulid'] for h in before.lanes.values()]
        gone = [m for m in self.of('s', 'r') if world.message[m.ulid]['state']['state'] == 'C']
        assert all(m.state == ('r' if is_ready else 's') for m in gone), gone
        for m in sorted(gone, key=lambda m: order.index(m.ulid) if m.ulid in order else -1):
            self.leaves(m, 'C')
        if self.model:
            self.model.lists = world.entries()

    def prune(self):
        self.call('prune', rows=[(NODE,)], **self.expected(), most=100, delivered_max=0, dead_max=0, delivered_bytes_max=0,
                  dead_bytes_max=0)
        if self.model:
            self.model.prune(self.now_us)
        self.forget_gone()

    def forget_gone(self):
        world = audit.World(self.redis, self.scripts.circle)
        for m in list(self.messages.values()):
            if m.ulid not in world.message:
                assert m.state in 'DXEC', m
                del self.messages[m.ulid]

    # What is stored.
    def look(self):
        """What the audit of the lanes finds, in pages of some members."""
        found = []
        for what in audit.LANES:
            cursor = b'0'
            while True:
                told = self.call('audit_lanes', what=what, cursor=cursor, most=self.calls % 9 + 1)
                found += [(what, audit.KINDS[code], member) for code, member in audit.pairs(told['rows'])]
                cursor = told['next_cursor']
                if cursor == b'0':
                    break
        return found

    def mend(self):
        """Mends the lanes, as far as they have to be, and lets enter what stands nowhere."""
        mended = []
        for what in audit.LANES:
            rows = [(code, member) for at, code, member in self.look() if at == what]
            mended += rows
            for at in range(0, len(rows), 100):
                part = [(audit.CODES[kind], member) for kind, member in rows[at:at + 100]]
                self.call('mend_lanes', rows=part, **self.expected())
        world = audit.World(self.redis, self.scripts.circle)
        missing = audit.missing(world)
        rows = [(audit.CODES['unplaced'], '', entry) for entry in missing] + [(audit.CODES['count'], '', '')]
        told = self.call('mend', rows=rows, **self.expected(), writes=True, lease_ms=self.lease_ms, dead_keep_ms=KEEP_MS, keep_ms=KEEP_MS)
        assert all(told['rows'][:-1]), told
        left = self.look()
        assert not left, f'not mended: {left}; mended before: {mended}'
        return mended, missing

    def damage(self):
        """Somebody changes a structure of the lanes by hand: it is found, and mended."""
        what, commands = spoil(self.rng, audit.World(self.redis, self.scripts.circle))
        if not commands:
            return
        self.redis.many(commands)
        try:
            audit.check(audit.World(self.redis, self.scripts.circle), self.is_strict)
            is_broken = False
        except Exception as fault:
            is_broken = fault
        try:
            mended, missing = self.mend()
        except Exception as fault:
            raise AssertionError(f'{what} {commands}: {fault}') from fault
        assert bool(is_broken) <= bool(mended or missing), f'not found: {is_broken}; {what} {commands}'
        self.damages = getattr(self, 'damages', 0) + 1

    def audit(self):
        world = audit.World(self.redis, self.scripts.circle)
        self.dangling = audit.check(world, self.is_strict)
        found = self.look()
        # A node that does not know of the keys lets lanes be busy for nobody, and calls be in flight for ever.
        careless = () if self.is_strict else ('busy', 'held', 'lent')
        assert all(kind in careless for _, kind, _ in found), f'found where all is well: {found}'
        if found and self.rng.random() < 0.3:
            self.mend()
            world = audit.World(self.redis, self.scripts.circle)
        for u, m in self.messages.items():
            if u not in world.message:
                raise AssertionError(f'lost: {m}')
            stored = world.message[u]
            state = stored['state']
            letter = {'s': 'w', 'r': 'w'}.get(m.state, m.state)
            told = letter, m.attempts, m.throttles, m.rescues, m.due_ms, m.band
            found = tuple(state[name] for name in ('state', 'attempts', 'throttles', 'rescues', 'due_ms', 'band'))
            assert found == told, f'{found} instead of {m}'
            if letter == 'w':
                in_due = stored['entry'] in world.due
                assert in_due == (m.state == 's'), f'in due: {in_due}: {m}'
        assert set(world.message) <= set(self.messages), 'messages that nobody knows'
        if self.model:
            self.model.compare(world)
        return world

    def drain(self):
        """Nothing is left of a queue that everything has left, once its periods are over."""
        while self.is_switching:
            self.switch()
            self.audit()
        waiting = self.of('r', 's', 'U')
        for at in range(0, len(waiting), 100):
            part = waiting[at:at + 100]
            told = self.call('cancel', rows=[(m.ulid,) for m in part], keep_ms=0)
            assert told['rows'][::2] == [0] * len(part), told
        for m in self.of('L'):
            told = self.call('ack', rows=[(m.ulid, TAIL)], exchanges=self.ended([m]), keep_ms=0, tokens=m.token)
            self.verdicts(told, [m])
        for m in self.of('A'):
            self.call('receive', named_ulid=m.ulid, reference='', said='D', detail='', delivered_keep_ms=0, dead_keep_ms=0,
                      kept_ms=0)
        for value in self.values_given.values():
            self.put_key(value, {})
        self.now_us += 86_400_000_000
        if not self.is_strict:
            self.mend()
        for _ in range(20):
            self.calls += 1
            told = self.claim_call(20, b'%08d' % self.calls)
            assert told['code'] in (EMPTY, LIMIT, STALE, KEYS), told
            self.call('prune', rows=[(NODE,)], **self.expected(), most=1000, delivered_max=0, dead_max=0,
                      delivered_bytes_max=0, dead_bytes_max=0)
        left = {key.decode()[len(audit.TAG):] for key in self.redis('KEYS', audit.TAG + '*')}
        left -= {'meta', 'weights', 'claims', 'exchanges'}
        if any(getattr(m, 'moved', False) for m in self.messages.values()):
            left -= {'records', 'states', 'cancelled', 'history'}
        meta = dict(audit.pairs(self.redis('HGETALL', audit.TAG + 'meta')))
        if self.is_strict and int(meta.get(b'stale', 0)) != 0:
            left.add(('stale', meta[b'stale']))
        left |= {(f, v) for f, v in meta.items() if f.startswith(b'held:') and int(v) != 0}
        assert not left, f'left behind: {left}'

    # Another structure.
    def switch_to(self, s):
        """Proposes another structure; it is in force at once, and messages move over meanwhile."""
        told = self.propose(s)
        if told['lines_in_force'].decode() != s.lines():
            assert self.is_switching, told
            return
        if s.order_by != self.s.order_by:
            self.order_since = told['number']
        self.s, self.is_switching = s, told['is_switching'] == 1
        self.follow()

    def follow(self):
        """A model of the structure in force, from the end of a switch on."""
        self.model = None
        if self.model_of and self.s.lines() and not self.is_switching:
            self.model = self.model_of(self).adopt(audit.World(self.redis, self.scripts.circle))

    def reload(self):
        if self.is_switching:
            return
        kind = self.rng.choice(['keys', 'keys', 'limits', 'none'])
        self.slots, self.is_strict = [], self.is_strict and 'laned'
        if kind == 'none':
            limits = [limit for limit in self.s.limits if not limit.per]
            return self.switch_to(Structure(limits=limits))
        other = structure(self.rng, self.pool)
        if kind == 'limits':
            other.order_by, other.fair_by = self.s.order_by, self.s.fair_by
        self.switch_to(other)

    def values(self):
        """The limits by key get other values. What they have let start by the old ones says nothing of the new ones."""
        others = limits_of(self.rng)
        for limit in self.s.limits:
            if limit.per:
                other = others[limit.name]
                limit.period_us, limit.burst, limit.units = other.period_us, other.burst, other.units
        self.slots = []
        self.tell_values()

    def key(self):
        """A key is given something at run time, in place of what it had, or it is taken back."""
        value = self.rng.choice([''] + [str(self.rng.randrange(self.spread)) for _ in range(5)])
        given, others = {}, limits_of(self.rng)
        if self.rng.random() < 0.7:
            given = {name: others[name] for name in self.rng.sample(sorted(others), self.rng.randint(0, 4)) if others[name].per}
            if self.rng.random() < 0.5 or not given:
                given['weight'] = self.rng.choice([10, 300, 5000, 1_000_000])
        self.put_key(value, given)

    def put_key(self, value, given):
        hashed = hash8(value) if value else NONE
        had = self.own.get(hashed, {})
        limits = {name: limit.said for name, limit in given.items() if name != 'weight'}
        settings = json.dumps(dict(weight=given.get('weight'), limits={name: {} for name in limits})) if given else ''
        told = self.call('put_key', rows=list(limits.items()), keys_in_force=self.s.keys_in_force(self.number, self.now_us), value=value,
                         hash=hashed, settings=settings, weight=given.get('weight'), keys_max=1000, elsewhere=0)
        assert told['code'] == ((1 if had else 0) if given else (2 if had else 3)), told
        self.own[hashed], self.values_given[hashed] = given, value
        said = lambda of, name: of[name].said if name in of else None
        changed = {name for name in (had.keys() | given.keys()) - {'weight'} if said(had, name) != said(given, name)}
        if self.model:
            self.model.look_at_key(hashed, changed, self.now_us)
        if changed:
            self.slots = []
        self.audit_keys()

    def audit_keys(self):
        """What scripts read of keys is what they were given, and it is counted."""
        values, parts = {}, defaultdict(int)
        for hashed, given in self.own.items():
            for name, of in given.items():
                is_weight = name == 'weight'
                values[(b'' if is_weight else name.encode()) + b'\0' + hashed] = str(of).encode() if is_weight else of.said.encode()
                part = 'weight' if is_weight else f'{of.kind} {name} {of.period}'.strip()
                parts[part.encode()] += 1
        assert dict(audit.pairs(self.redis('HGETALL', audit.TAG + 'key_values'))) == values
        counted = {part: int(count) for part, count in audit.pairs(self.redis('HGETALL', audit.TAG + 'key_parts'))}
        assert counted == parts, (counted, parts)
        weights, limits = self.redis('HMGET', audit.TAG + 'meta', 'key_weights', 'key_limits')
        of_weights = parts.get(b'weight', 0)
        assert (int(weights or 0), int(limits or 0)) == (of_weights, sum(parts.values()) - of_weights)
        assert (weights is None, limits is None) == (not of_weights, not sum(parts.values()) - of_weights)

    def tell_values(self):
        self.propose(self.s, True)
        self.model.anew = 'arrivals'

    def switch(self):
        told = self.call('switch', most=self.rng.choice([1, 10, 100]))
        self.is_switching = told['is_switching'] == 1
        if not self.is_switching:
            self.follow()

    def claim_while_switching(self):
        self.calls += 1
        told = self.claim_call(5, b'%08d' % self.calls)
        assert told['code'] in (KEYS, EMPTY), told

    def careless(self):
        """A node that does not know of the keys yet calls the plain forms."""
        self.is_strict = None
        how = self.rng.choice(['put', 'promote', 'cancel', 'claim', 'ack'])
        if how == 'put':
            self.put([self.new() for _ in range(3)], 'plain')
        elif how == 'claim':
            self.calls += 1
            told = self.claim_call(5, b'%08d' % self.calls, form='plain', number=0)
            assert told['code'] in (OTHER, EMPTY) or self.number == 0, told
        elif how == 'cancel':
            self.cancel('plain')
        elif how == 'ack':
            self.ack(self.some(self.of('L'), 3), form='plain')
        else:
            told = self.call('promote', 'plain', **self.expected(), most=3)
            self.came()

    def came(self):
        world = audit.World(self.redis, self.scripts.circle)
        came = [m for m in self.of('s') if world.message[m.ulid]['entry'] not in world.due]
        for m in came:
            m.state = 'r'
        return came

    STEPS = dict(schedule=30, claim=35, settle=20, promote=6, flood=1, storm=1, receive=3, resolve=3, reap=4, late_success=3, cancel=4,
                 expire=3, requeue=3, reschedule=4, move=1, purge=1, prune=1)
    KINDS = dict(plain={}, granted={}, values=dict(values=3), keys=dict(key=12, values=1), doubt=dict(doubt=6), switch=dict(reload=3, switch=6, key=2),
                 careless=dict(careless=8), damaged=dict(damage=25),
                 back=dict(back=2, doubt=2), all=dict(reload=3, switch=6, careless=4, doubt=3, key=3))

    def doubt(self):
        self.rng.choice([self.claim, self.promote])(in_doubt=True)

    def back(self):
        """The clock steps back."""
        self.now_us -= self.rng.choice([1000, 100_000, 70_000_000])
        self.slots = []

    def step(self):
        name = self.rng.choices(list(self.steps), list(self.steps.values()))[0]
        getattr(self, name)()
        self.audit()
        self.now_us += self.rng.choice([0, 0, 100, 5_000, 40_000, self.rng.choice([300_000, 1_500_000]) if self.rng.random() < 0.2 else 0])
        return name

    def all(self, steps):
        for self.at in range(steps):
            self.last = self.step()
        self.drain()
