"""Microseconds and commands of the scripts at queues with keys, and the work of a claim beside blocked lanes.

    python3 measure.py scripts.json [--scale 0.1]

docs/measurements.md has what came out. Microseconds are those of EVALSHA in INFO commandstats.
"""
import argparse, random, re, sys
sys.dont_write_bytecode = True
from messages import Limit, Message, Structure, ulid
from run import KEEP_MS, NODE, START_US, TAIL, Run
from scripts import Scripts, Server

HOUR_US = 3_600_000_000.0


class Queue(Run):
    """A queue that counts what its calls cost. It knows nothing of its messages but what claims return."""

    def __init__(self, redis, scripts, structure):
        super().__init__(redis, scripts, 1, structure, {})
        self.now_us, self.horizon_us, self.lead_us, self.batch_items, self.lease_ms = START_US, 0, 0, 0, 30_000
        self.concurrency, self.rng = 1_000_000, random.Random(1)

    def timed(self, call, count):
        """Microseconds and commands of a call, for each of `count(reply)` messages."""
        self.redis('CONFIG', 'RESETSTAT')
        told = call()
        usec, commands = 0, 0
        for line in self.redis('INFO', 'commandstats').decode().split('\r\n'):
            found = re.match(r'cmdstat_([^:]+):calls=(\d+),usec=(\d+)', line)
            commands += int(found.group(2)) if found else 0
            usec += int(found.group(3)) if found and found.group(1) == 'evalsha' else 0
        return usec / max(1, count(told)), commands / max(1, count(told)), told

    def add(self, labels):
        """Messages with these labels, in one call."""
        rows = []
        for number, each in enumerate(labels):
            self.count += 1
            m = Message(ulid(self.now_ms, self.rng.getrandbits(70)), 0, self.now_ms, 0, 1, each)
            rows.append((m.ulid, f'50o{self.now_ms}', bytes([number]) + m.fields() + b'\0\0' + b'y' * 100))
        self.calls += 1
        return self.timed(lambda: self.call('schedule', 'keyed', rows, window_ms=1000, caller=NODE + str(self.calls).encode(),
                                            version=3, width=3, messages_max=0, bytes_max=0, key_max=0), lambda _: len(rows))

    def fill(self, count, labels_of):
        for at in range(0, count, 100):
            self.add([labels_of(n) for n in range(at, min(count, at + 100))])

    def take(self, wanted):
        self.calls += 1
        return self.timed(lambda: self.claim_call(wanted, b'%08d' % self.calls), lambda told: len(told.get('ulids', [])))

    def finish(self, told):
        token = NODE + b'%08d' % self.calls
        ulids = told.get('ulids', [])
        return self.timed(lambda: self.call('ack', rows=[(u, TAIL) for u in ulids], exchanges='', keep_ms=KEEP_MS,
                                            tokens=token * len(ulids)), lambda _: len(ulids))

    def exhaust(self):
        """Takes what may start, until nothing more may."""
        while True:
            told = self.take(64)[2]
            if told.get('ulids'):
                self.finish(told)
            elif told['code'] != self.STALE:
                return


def table(title, head, rows):
    print(f'\n**{title}**\n\n| {" | ".join(head)} |\n|{"---|" * len(head)}')
    for row in rows:
        print(f'| {" | ".join(map(str, row))} |')


def low(values):
    """The quarter of the calls that nothing disturbed ends here."""
    return f'{sorted(values)[len(values) // 4]:.1f}'


def steps(redis, scripts, scale):
    kinds = {
        'shares': Structure(fair_by='a'),
        'order': Structure(order_by='a'),
        'shares, a rate and calls by key': Structure(fair_by='a', limits=[
            Limit('rate_a', 'rate', 'a', 1.0, 1000), Limit('calls_a', 'concurrency', 'a', units=1000)]),
    }
    rows = []
    for name, structure in kinds.items():
        for keys in (10, 1000, 100_000):
            queue = Queue(redis, scripts, structure)
            labels = lambda _: {'a': str(queue.rng.randrange(keys))}
            queue.fill(int(100_000 * scale), labels)
            found = {step: [] for step in ('schedule', 'claim', 'ack', 'commands')}
            for _ in range(40):
                found['schedule'].append(queue.add([labels(n) for n in range(64)])[0])
                us, commands, told = queue.take(10 if structure.order_by and keys == 10 else 64)
                found['claim'].append(us)
                found['commands'].append(commands)
                found['ack'].append(queue.finish(told)[0])
                queue.now_us += 1000
            rows.append([name, f'{keys:,}'] + [low(values) for values in found.values()])
    table('Microseconds a message, 64 in a call, lower quartile', ['keys used for', 'keys', 'schedule', 'claim', 'ack',
          'commands for a claimed message'], rows)


def blocked(redis, scripts, scale):
    slow = Limit('one', 'rate', 'r', 60_000_000.0, 1)
    tenant = lambda per, fair: Structure(fair_by=fair, limits=[Limit('tenant', 'rate', per, 1_000_000.0, 1), slow])
    kinds = {
        'keys of one an hour, ordered': (
            Structure(order_by='a', limits=[Limit('hour', 'rate', 'a', HOUR_US, 1)]),
            lambda n: {'a': str(n)}, lambda n: [{'a': f'free {n}'}]),
        'recipients of a tenant of 1/s, shares by tenant': (
            tenant('t', 't'), lambda n: {'t': 'flood', 'r': f'r{n}'},
            lambda n: [{'t': f'free {i}', 'r': f'free {n} {i}'} for i in range(10)]),
        'recipients of a host of 1/s, no shares': (
            tenant('h', ''), lambda n: {'h': 'flood', 'r': f'r{n}'},
            lambda n: [{'h': f'free {i}', 'r': f'free {n} {i}'} for i in range(10)]),
        'recipients behind two limits of 1/s': (
            Structure(limits=[Limit('host', 'rate', 'h', 1_000_000.0, 1), Limit('group', 'rate', 'g', 1_000_000.0, 1), slow]),
            lambda n: {'h': '1', 'g': '1', 'r': f'r{n}'},
            lambda n: [{'h': '1', 'g': 'x', 'r': f'o{n}'} if n % 2 else {'h': 'x', 'g': '1', 'r': f'o{n}'},
                       {'h': f'f{n}', 'g': f'f{n}', 'r': f'f{n}'}]),
    }
    rows = []
    for name, (structure, flood, free) in kinds.items():
        for lanes in (10, int(100_000 * scale)):
            queue, found = Queue(redis, scripts, structure), []
            queue.fill(2 * lanes, lambda n: flood(n % lanes))
            queue.exhaust()
            for n in range(60):
                queue.now_us += 1_000_000
                queue.add(free(n))
                us, commands, told = queue.take(64)
                count = max(1, len(told.get('ulids', [])))
                found.append((count, us * count, round(commands * count)))
                if told.get('ulids'):
                    queue.finish(told)
            counts, us, commands = zip(*found)
            rows.append([name, f'{lanes:,}', sorted(counts)[30], low(us), sorted(commands)[30], max(commands)])
    table('A claim beside blocked lanes', ['blocked', 'lanes', 'messages', 'µs, lower quartile', 'commands', 'most commands'], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('scripts')
    parser.add_argument('--scale', type=float, default=1)
    args = parser.parse_args()
    with Server() as redis:
        scripts = Scripts(redis, args.scripts)
        steps(redis, scripts, args.scale)
        blocked(redis, scripts, args.scale)


if __name__ == '__main__':
    main()
