"""Holds the scripts against what docs/collapse.md promises of collapse keys: random steps of all verbs, in virtual time.

    python3 check.py scripts.json --seconds 10
    python3 check.py scripts.json --seed 17 --form keyed
    python3 check.py scripts.json --faults

tests/it/store/collapse.rs calls it with the scripts as the crate puts them together. After each step the audit finds nothing, of each
key one message at most may be sent, and no payload is claimed after a newer one. At the end the newest payload of each key has been
claimed, and nothing is left of any key.
"""
import argparse, hashlib, os, random, struct, sys, time
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lanes'))
from messages import ulid as ulid_of
from scripts import Scripts, Server

STEPS = 120
KEYS = ['k0', 'k1', 'k2']
NODE = b'collapsenode'
KEEP_MS, LEASE_MS = 50_000_000, 20_000
TAIL = b'{"a":{"n":1}}'
STRUCTURE = 'fair 0000\nlevels 1\n'
# What a script says, and what it says instead: each has to be found.
FAULTS = [
    ('the newer one does not wait', 'local due_ms = collapse_take(ulid, record, nil, true)', 'local due_ms = collapse_take(ulid, record, nil, false)'),
    ('an old payload is sent again beside the newer', "  if first == ulid and not newer then return false end\n", "  if first == ulid then return false end\n"),
    ('nobody sets the newer one free', "    if newer then collapse_free(newer) end\n  elseif newer == ulid", "  elseif newer == ulid"),
    ('an idle key stays', "    collapse_write(hash, newer)\n    if newer then", "    if newer then collapse_write(hash, newer) end\n    if newer then"),
    ('an idempotency key names a message that never was', 'key, became .. fingerprint)', 'key, ulid .. fingerprint)'),
    ('a lost reply is not remembered', "  if was then\n", "  if false then\n"),
    ('an older payload takes the place of a newer', 'moment_of_payload(present_old) > moment_ms + COLLAPSE_CLOCKS_MS', 'false'),
    ('a begun message is replaced', 'return s.attempts > 0 or s.throttles > 0', 'return false'),
]


class Fault(Exception):
    pass


class Run:
    """One queue and its messages."""

    def __init__(self, redis, scripts, seed, form):
        redis('FLUSHALL')
        self.redis, self.scripts, self.rng = redis, scripts, random.Random(seed)
        self.form, self.collapsing = form, 'collapsing' if form == 'plain' else 'keyed_collapsing'
        self.now_ms, self.calls, self.payloads = 1_795_000_000_000, 0, 0
        self.number = 0
        # Payload → when it was accepted, its key, and its idempotency key.
        self.sent, self.newest, self.claimed = {}, {}, {}
        # By key, the latest payload that was ever claimed, whatever an operator has had sent again since.
        self.latest = {}
        # Payload → the message that it became.
        self.became = {}
        # Under our own lease: ULID → token.
        self.leases = {}
        self.tag = '{t:q.0}:'
        if form == 'keyed':
            redis('HSET', self.tag + 'meta', 'structure', STRUCTURE, 'structure_number', 0)
        if self.rng.random() < 0.3:
            redis('HSET', self.tag + 'meta', 'collapse', '3000 9000')

    def call(self, verb, rows=(), form=None, **named):
        self.scripts.now_us = self.now_ms * 1000 + self.rng.randrange(1000)
        return self.scripts(verb, form or self.form, rows, **named)

    def timed(self):
        return dict(earliest_us=0, latest_us=1 << 60)

    # What is there.

    def states(self):
        """Every message that is not gone: ULID → letter, key and payload."""
        records = self.redis('HGETALL', self.tag + 'records')
        found = {}
        for at in range(0, len(records), 2):
            one, record = records[at], records[at + 1]
            raw = self.redis('HGET', self.tag + 'states', one)
            body = record.split(b'"')[-2] if record.endswith(b'"') else b''
            found[one] = (raw[1:2] if raw else b'w', body.decode())
        return found

    def begun(self):
        """The messages of which an attempt has begun: ULID → payload."""
        found = {}
        for one, (_, name) in self.states().items():
            raw = self.redis('HGET', self.tag + 'states', one)
            if raw and any(raw[38:44]):
                found[one] = name
        return found

    def of_state(self, letter):
        return [one for one, (state, _) in self.states().items() if state == letter]

    # Steps.

    def schedule(self):
        rows, told = [], []
        for _ in range(self.rng.randint(1, 4)):
            key = self.rng.choice(KEYS)
            self.payloads += 1
            age_ms = self.rng.choice([0] * 8 + [5000])
            name = f'{key}/{self.payloads}'
            due = self.rng.choice(['+0', '+0', '+0', f'+{self.rng.randint(1, 8000)}'])
            ttl = self.rng.choice(['', '', '', f'/+{self.rng.randint(9000, 30000)}'])
            idem = f'i{self.payloads}' if self.rng.random() < 0.5 else ''
            rows.append(self.row(len(rows), name, due + ttl, idem, self.now_ms - age_ms))
            told.append((name, key, age_ms, idem))
            self.became[name] = rows[-1][0]
        self.calls += 1
        values = [value for row in rows for value in row]
        caller = NODE + b'%016x' % self.calls + b'%d' % KEEP_MS
        arguments = dict(window_ms=86_400_000, caller=caller, version=3, width=4, messages_max=0, bytes_max=0, key_max=0)
        begun = self.begun()
        first = self.call('schedule', rows=[values], form=self.collapsing, **arguments)['rows']
        for one, name in self.begun().items():
            if begun.get(one, name) != name:
                raise Fault(f'{begun[one]}, of which an attempt has begun, became {name}')
        if self.rng.random() < 0.3:
            again = self.call('schedule', rows=[values], form=self.collapsing, **arguments)['rows']
            self.expect_same(first, again)
        for at in range(0, len(first), 4):
            self.became[told[first[at]][0]] = first[at + 2]
        for name, key, age_ms, idem in told:
            accepted_ms = self.now_ms - age_ms
            if accepted_ms + 1000 >= self.newest.get(key, (0, ''))[0]:
                self.newest[key] = (accepted_ms, name)
            self.sent[name] = (key, idem)
        if self.rng.random() < 0.3:
            self.repeat_an_old_one()

    def row(self, number, name, wish, idem, at_ms):
        self.number += 1
        hash16 = hashlib.sha256(name.split('/')[0].encode()).digest()[:16]
        fields = bytes([4]) + struct.pack('>H', 27) + hash16 + bytes(11)
        rest = bytes([number]) + fields + struct.pack('>H', 0) + f'"{name}"'.encode()
        extras = hashlib.md5(name.encode()).digest() + idem.encode() if idem else b''
        return [ulid_of(at_ms, self.number), f'0{self.rng.choice("000")}k' + wish, rest, extras]

    def expect_same(self, first, again):
        """A repeat says of each message that was not simply accepted what the first call said."""
        said = {again[at]: again[at + 1:at + 4] for at in range(0, len(again), 4)}
        for at in range(0, len(first), 4):
            if said.get(first[at]) != first[at + 1:at + 4]:
                raise Fault(f'a repeated call says {said.get(first[at])}, and said {first[at + 1:at + 4]} at first')

    def repeat_an_old_one(self):
        """With its idempotency key: it is known, and nothing changes."""
        old = [(name, idem) for name, (_, idem) in self.sent.items() if idem]
        if not old:
            return
        name, idem = self.rng.choice(old)
        before = self.states()
        self.calls += 1
        row = self.row(0, name, '+0', idem, self.now_ms)
        told = self.call('schedule', rows=[row], form=self.collapsing, window_ms=86_400_000,
                         caller=NODE + b'%016x' % self.calls + b'%d' % KEEP_MS, version=3, width=4, messages_max=0, bytes_max=0, key_max=0)
        if told['rows'][1:3] != [1, self.became[name]]:
            raise Fault(f'a repeat of {name} is answered with {told["rows"]}')
        if self.states() != before:
            raise Fault(f'a repeat of {name} has changed something')

    def claim(self, most=None):
        self.calls += 1
        sequence = b'%08d' % (self.calls % 100_000_000)
        told = self.call(
            'claim', keys_in_force='0', node=NODE, sequence=sequence, most=most or self.rng.randint(1, 3), bytes_max=1 << 20, lease_ms=LEASE_MS,
            concurrency=100, limit_lines='', horizon_us=50_000, before_us=0, batch_items=0, batch_bytes=0, batch_wait_ms=0, batch_now=False,
            granted=None, granted_units=1, is_pull=False, expired_keep_ms=0, lead_us=0, **self.timed(), hours="")
        taken = told.get('ulids') or []
        for one, record in zip(taken, told.get('records') or []):
            name = record.split(b'"')[-2].decode()
            key, number = name.split('/')
            if int(number) < self.claimed.get(key, 0):
                raise Fault(f'an old payload after a newer: {name} after {self.claimed[key]}')
            self.claimed[key] = int(number)
            self.latest[key] = max(self.latest.get(key, 0), int(number))
            self.leases[one] = NODE + sequence
        return len(taken)

    def some_leased(self):
        leased = [one for one in self.of_state(b'L') if one in self.leases]
        return self.rng.choice(leased) if leased else None

    def settle(self):
        one = self.some_leased()
        if one is None:
            return
        token, verb = self.leases[one], self.rng.choice(['ack', 'ack', 'retry', 'retry', 'throttle', 'release', 'defer', 'bury', 'park', 'accept'])
        keep = dict(delivered_keep_ms=KEEP_MS, dead_keep_ms=KEEP_MS)
        if verb == 'ack':
            arguments = dict(exchanges='', keep_ms=self.rng.choice([0, KEEP_MS]), tokens=token)
            told = self.call('ack', rows=[(one, TAIL)], **arguments)['rows']
            if told != [5]:
                raise Fault(f'the form that knows no collapse keys answered {told}')
            told = self.call('ack', rows=[(one, TAIL)], form=self.collapsing, **arguments)['rows']
        elif verb in ('retry', 'throttle'):
            row = (one, token, self.rng.choice([0, 500, 4000]), int(verb == 'throttle'), TAIL)
            told = self.call('retry', rows=[row], exchanges='', signs='', **keep)['rows']
        elif verb == 'release':
            told = self.call('release', rows=[(one, token, 0, 0, 0)], exchanges='', limit_lines='', keep_ms=KEEP_MS)['rows']
        elif verb == 'defer':
            told = self.call('defer', rows=[(one, token, '', 0, 0, 0)], exchanges='', signs='', kind='hold', shut_ms=None, reason='', limit_lines='',
                             keep_ms=KEEP_MS)['rows']
        elif verb == 'bury':
            told = self.call('bury', rows=[(one, token, TAIL)], exchanges='', signs='', keep_ms=KEEP_MS, is_suspect=False, reason='',
                             delivered_keep_ms=KEEP_MS)['rows']
        elif verb == 'park':
            told = self.call('park', rows=[(one, token, TAIL)], exchanges='', signs='', probe_after_ms=None, **keep)['rows']
        else:
            told = self.call('accept', rows=[(one, token, TAIL, '')], exchanges='', **keep)['rows']
        if told != [0]:
            raise Fault(f'{verb} answered {told}')

    def key_of(self, one):
        return self.states()[one][1].split('/')[0]

    def resolve(self):
        doubted = self.of_state(b'U')
        if doubted:
            one, how = self.rng.choice(doubted), self.rng.choice(['delivered', 'resend', 'dead'])
            name = self.states()[one][1]
            self.call('resolve', ulid=one, decision=how, keep_ms=KEEP_MS, tail='', probe_token='')
            if how == 'resend':
                self.decided(name)

    def decided(self, name):
        """An operator has a message sent again: newer ones that are final do not count any more."""
        key, number = name.split('/')
        if not any(state in b'wLU' and body.startswith(key + '/') and int(body.split('/')[1]) > int(number)
                   for state, body in self.states().values() if body):
            self.claimed[key] = min(self.claimed.get(key, 0), int(number))

    def receive(self):
        accepted = self.of_state(b'A')
        if accepted:
            self.call('receive', named_ulid=self.rng.choice(accepted), reference='', said='D', detail='', delivered_keep_ms=KEEP_MS,
                      dead_keep_ms=KEEP_MS, kept_ms=0)

    def lapse(self):
        self.call('lapse', **self.timed(), most=10, waited_ms=3000, becomes=self.rng.choice('UX'), delivered_keep_ms=KEEP_MS,
                  dead_keep_ms=KEEP_MS, probe_after_ms=None, reason='"late"')

    def reap(self):
        if self.rng.random() < 0.4:
            self.now_ms += LEASE_MS + 1
        self.call('reap', **self.timed(), most=100, parks=self.rng.random() < 0.2, dead_keep_ms=KEEP_MS, parked_tail=TAIL, poison_tail=TAIL,
                  lease_ms=0, probe_after_ms=None, delivered_keep_ms=KEEP_MS)

    def forget_newest(self, names):
        for name in names:
            key = name.split('/')[0]
            if self.newest.get(key, (0, ''))[1] == name:
                self.newest[key] = (self.newest[key][0], '')

    def cancel(self):
        there = [one for one, (state, _) in self.states().items() if state in b'wU']
        if there:
            one = self.rng.choice(there)
            self.forget_newest([self.states()[one][1]])
            self.call('cancel', rows=[(one,)], keep_ms=self.rng.choice([0, KEEP_MS]))

    def expire(self):
        before = self.states()
        self.call('expire', **self.timed(), most=100, keep_ms=KEEP_MS)
        now = self.states()
        self.forget_newest(name for one, (_, name) in before.items() if now.get(one, (b'E', ''))[0] == b'E' and name)

    def purge(self):
        if self.rng.random() < 0.1:
            self.forget_newest(name for state, name in self.states().values() if state == b'w')
            for what in ['ready', 'scheduled']:
                self.call('purge', what=what, most=100, cutoff='7ZZZZZZZZZ', keep_ms=KEEP_MS, cursor='')

    def reschedule(self):
        there = self.of_state(b'w')
        if there:
            due = self.rng.choice(['+0', '+0', '+3000', ''])
            self.call('reschedule', ulid=self.rng.choice(there), due_at=due, ranks=self.rng.choice(['', '50']), expires_at='', with_payload=False,
                      payload='')

    def requeue(self):
        there = [one for one, (state, _) in self.states().items() if state in b'XUEC']
        if there:
            one = self.rng.choice(there)
            name = self.states()[one][1]
            if self.call('requeue', rows=[(one,)], cutoff_ms=None)['rows'][0] == 0:
                self.decided(name)

    def promote(self):
        self.now_ms += self.rng.randrange(2000)
        self.call('promote', **self.timed(), most=100)

    def free_held(self):
        told = self.call('free_held', rank=0, most=100, keep_ms=KEEP_MS)
        if told['freed']:
            raise Fault('somebody was not set free in time')

    # What must hold.

    def check(self):
        for what in ['records', 'due', 'leased', 'uncertain', 'accepted', 'delivered', 'dead', 'expired', 'cancelled', 'expiry', 'collapse']:
            told = self.call('audit', what=what, cursor='0', most=1000)['rows']
            found = [(told[at], told[at + 1]) for at in range(0, len(told), 2) if told[at] != 0]
            # Of an expired message that a claim met the expirer comes by once more.
            found = [fault for fault in found if not (what in ('expiry', 'collapse') and self.has_just_expired())]
            if found:
                raise Fault(f'the audit of {what} finds {found}')
        held = set(self.redis('ZRANGEBYSCORE', self.tag + 'due', (1 << 53) - 1, (1 << 53) - 1))
        held = {entry[:26] for entry in held}
        named = b''.join(self.redis('HVALS', self.tag + 'collapse'))
        named = {named[at:at + 26] for at in range(0, len(named), 26)}
        by_key = {}
        for one, (state, name) in self.states().items():
            # One that was accepted, and of which nobody knows any more, stands beside a newer one that was sent since.
            if state in b'wLU' and name and (state != b'U' or one in named):
                by_key.setdefault(name.split('/')[0], []).append((one, state))
        for key, found in by_key.items():
            free = [one for one, _ in found if one not in held]
            if len(found) > 2 or len(free) != 1:
                raise Fault(f'{key} has {found}, held {held}')

    def has_just_expired(self):
        stale = [one for one in self.redis('ZRANGE', self.tag + 'expiry', 0, -1) if self.states().get(one, (b'E', ''))[0] == b'E']
        return bool(stale)

    def drain(self):
        """All that waits is sent and delivered; decisions come first."""
        for one in self.of_state(b'U'):
            self.call('resolve', ulid=one, decision='delivered', keep_ms=KEEP_MS, tail='', probe_token='')
        for one in self.of_state(b'A'):
            self.call('receive', named_ulid=one, reference='', said='D', detail='', delivered_keep_ms=KEEP_MS, dead_keep_ms=KEEP_MS, kept_ms=0)
        for _ in range(20):
            self.now_ms += LEASE_MS + 1
            self.expire()
            self.call('reap', **self.timed(), most=100, parks=False, dead_keep_ms=KEEP_MS, parked_tail=TAIL, poison_tail=TAIL, lease_ms=0,
                      probe_after_ms=None, delivered_keep_ms=KEEP_MS)
            self.call('promote', **self.timed(), most=100)
            while self.claim(most=20):
                for one in self.of_state(b'L'):
                    if one in self.leases:
                        self.call('ack', rows=[(one, TAIL)], form=self.collapsing, exchanges='', keep_ms=KEEP_MS, tokens=self.leases[one])
            self.expire()
        left = [(one, state) for one, (state, _) in self.states().items() if state in b'wLUA']
        if left:
            raise Fault(f'left after all was sent: {left}')
        for key, (_, name) in self.newest.items():
            if name and int(name.split('/')[1]) > self.latest.get(key, 0):
                raise Fault(f'the newest payload {name} was never sent, {self.latest.get(key)} was the latest')
        if self.redis('HLEN', self.tag + 'collapse'):
            raise Fault('an idle key has left something')

    def all(self, steps):
        acts = [self.schedule] * 5 + [self.claim] * 4 + [self.settle] * 6 + [self.promote] * 2 + [
            self.resolve, self.receive, self.lapse, self.reap, self.cancel, self.expire, self.purge, self.reschedule, self.requeue,
            self.free_held]
        self.log = []
        for _ in range(steps):
            act = self.rng.choice(acts)
            self.log.append(act.__name__)
            act()
            self.now_ms += self.rng.randrange(50)
            self.check()
        self.log.append('drain')
        self.drain()


def check(redis, scripts, seed, form, steps=STEPS):
    run = Run(redis, scripts, seed, form)
    try:
        run.all(steps)
    except Exception as fault:
        last = ', '.join(getattr(run, 'log', [])[-6:])
        raise AssertionError(f'--seed {seed} --form {form}: after {last}: {type(fault).__name__}: {fault}') from fault


def find_faults(redis, path, first):
    for name, says, instead in FAULTS:
        scripts = Scripts(redis, path, (says, instead))
        for seed in range(first, first + 60):
            try:
                check(redis, scripts, seed, 'plain')
            except AssertionError as found:
                if not isinstance(found.__cause__, Fault):
                    raise
                print(f'{name}: found after {seed - first + 1} queues: {str(found)[:200]}')
                break
        else:
            raise AssertionError(f'the fault is not found: {name}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('scripts')
    parser.add_argument('--seconds', type=float, default=8)
    parser.add_argument('--seed', type=int)
    parser.add_argument('--form', choices=['plain', 'keyed'], default='plain')
    parser.add_argument('--faults', action='store_true')
    args = parser.parse_args()
    first = int(time.time()) % 1_000_000 * 1000
    with Server() as redis:
        if args.faults:
            return find_faults(redis, args.scripts, first)
        scripts = Scripts(redis, args.scripts)
        if args.seed is not None:
            return check(redis, scripts, args.seed, args.form)
        ended, seed = time.monotonic() + args.seconds, first
        while time.monotonic() < ended or seed < first + 4:
            check(redis, scripts, seed, ['plain', 'keyed'][seed % 2])
            seed += 1
        print(f'{STEPS * (seed - first)} steps in {seed - first} queues: all held')


main()
