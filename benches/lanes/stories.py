"""What a queue of random steps meets too rarely: small stories with a known end."""
from check import START_US, Run
from messages import Limit, Message, Structure, hash8, ulid


class Story(Run):
    def __init__(self, redis, layout, structure, weights=None):
        super().__init__(redis, layout, 1, structure, weights or {})

    def put(self, labels, level=0, cost=1):
        self.number += 1
        due_ms = self.now_us // 1000
        m = Message(ulid(due_ms, self.number), level, due_ms, self.number, cost, labels)
        self.step('enter', m.ulid, m.record(), '0')
        self.model.enter(m, self.now_us)
        self.waiting[m.ulid] = m
        return m

    def take(self, wanted=1):
        """The messages that scripts and model agree on."""
        before = set(self.leased)
        self.claim(wanted)
        return [m for u, m in self.leased.items() if u not in before]

    def cancel_one(self, m):
        self.waiting.pop(m.ulid)
        assert self.step('cancel', m.ulid, '0') == self.model.cancel(m, self.now_us) == 1

    def end(self, m, how='done', skip_us=None):
        self.leased.pop(m.ulid)
        self.step('settle', m.ulid, how, 'inf' if skip_us is None else skip_us)
        self.model.settle(m, how, skip_us, self.now_us)
        m.begun = True
        if how == 'retry':
            self.later[m.ulid] = m


def stall_of_a_cancelled_head(redis, layout):
    """The moment at which a cancelled head would have been skipped skips nobody else."""
    story = Story(redis, layout, Structure(order_by='a'))
    head = story.put({'a': '1'})
    assert story.take() == [head]
    story.end(head, 'retry', story.now_us + 1000)
    story.later.pop(head.ulid)
    assert story.step('cancel', head.ulid, '1') == story.model.cancel(head, story.now_us) == 1
    first, second = story.put({'a': '1'}), story.put({'a': '1'})
    assert story.take() == [first]
    story.now_us += 5000
    assert story.take() == [], 'two of an order key at once'
    story.end(first)
    assert story.take() == [second]
    story.end(second)
    story.drain()


def order_through_a_lost_lease(redis, layout):
    """A head whose lease was lost goes before all others of its key, even before one with an earlier place."""
    story = Story(redis, layout, Structure(order_by='a'))
    head = story.put({'a': '1'})
    assert story.take() == [head]
    story.now_us -= 5000
    earlier = story.put({'a': '1'})
    story.now_us += 5000
    assert story.take() == []
    story.leased.pop(head.ulid)
    head.begun = head.given = True
    story.step('back', head.ulid, '1')
    story.model.back(head, story.now_us)
    story.waiting[head.ulid] = head
    assert story.take(2) == [head]
    story.end(head)
    assert story.take(2) == [earlier]
    story.end(earlier)
    story.drain()


def order_of_what_is_given_back(redis, layout):
    """Nothing of it has left: what came meanwhile with an earlier place goes first."""
    story = Story(redis, layout, Structure(order_by='a'))
    head = story.put({'a': '1'})
    assert story.take() == [head]
    story.now_us -= 5000
    earlier = story.put({'a': '1'})
    story.now_us += 5000
    story.leased.pop(head.ulid)
    story.step('back', head.ulid, '0')
    story.model.back(head, story.now_us)
    story.waiting[head.ulid] = head
    assert story.take(2) == [earlier]
    story.end(earlier)
    assert story.take(2) == [head]
    story.put({'a': '1'})
    story.leased.pop(head.ulid)
    story.step('back', head.ulid, '0')
    story.model.back(head, story.now_us)
    story.waiting[head.ulid] = head
    story.cancel_one(head)
    for m in story.take(2):
        story.end(m)
    story.drain()


def shares(redis, layout):
    """Weights 5:3:2; tags go round a small circle meanwhile, and those of idle flows go."""
    weights = {'5': 5000, '3': 3000, '2': 2000}
    limits = [Limit(b'\1', 'r', '', 1000, 1)]
    story = Story(redis, layout, Structure(fair_by='a', wrap=2 ** 25, limits=limits), {hash8(k): w for k, w in weights.items()})
    for _ in range(150):
        for tenant in weights:
            story.put({'a': tenant})
    got = {tenant: 0 for tenant in weights}
    for step in range(230):
        if step % 8 == 0:
            story.put({'a': f'idle {step}'})
        for m in story.take():
            story.end(m)
            if m.labels['a'] in got:
                got[m.labels['a']] += 1
        assert redis('ZCARD', '{t}:tags') <= 2, 'tags that the virtual time has passed'
        story.now_us += 1000
    total = sum(got.values())
    assert total == 201, got
    assert all(abs(got[t] / total - w / 10000) < 0.02 for t, w in weights.items()), got
    for m in list(story.waiting.values()):
        story.cancel_one(m)
    story.drain()


def debt(redis, layout):
    """What a tenant sends with priority counts, but a tag stays on its half of the circle."""
    limits = [Limit(b'\1', 'r', '', 1000, 1)]
    story = Story(redis, layout, Structure(fair_by='a', levels=3, wrap=2 ** 25, limits=limits))
    for _ in range(60):
        story.put({'a': 'high'}, level=2)
    low = [story.put({'a': 'low'}) for _ in range(10)]
    taken = []
    for step in range(71):
        if step == 60:
            story.put({'a': 'high'})
        taken += story.take()
        story.now_us += 1000
    assert all(m.level == 2 for m in taken[:60])
    # It pays for what it sent with priority: the other tenant goes first.
    assert taken[60:70] == low
    assert len(taken) == 71
    for m in taken:
        story.end(m)
    story.drain()


def newcomer(redis, layout):
    """Beside ten tenants with a backlog a new one waits for one message of each at most."""
    limits = [Limit(b'\1', 'r', '', 1000, 1)]
    story = Story(redis, layout, Structure(fair_by='a', limits=limits))
    for _ in range(8):
        for n in range(10):
            story.put({'a': f'{n}'})
    for _ in range(57):
        story.take()
        story.now_us += 1000
    new, waited = story.put({'a': 'new'}), 0
    while not any(m is new for m in story.take()):
        story.now_us += 1000
        waited += 1
    assert waited <= 10, waited
    for m in list(story.leased.values()):
        story.end(m)
    for m in list(story.waiting.values()):
        story.cancel_one(m)
    story.drain()


def due_at_one_instant(redis, layout):
    """More is due than one claim brings in: nothing of a key overtakes what is due still."""
    story = Story(redis, layout, Structure(order_by='a'))
    due_ms = story.now_us // 1000
    for n in range(200):
        story.number += 1
        # The ids are not in the order of acceptance, and ids decide what is promoted first.
        m = Message(ulid(due_ms, (n * 7919) % 1009), 0, due_ms, story.number, 1, {'a': str(n % 3)})
        story.step('schedule', m.ulid, m.record(), due_ms, '0')
        story.model.due_later.append((due_ms, m.ulid, m))
        story.waiting[m.ulid] = m
    taken, claims = {'0': [], '1': [], '2': []}, 0
    while sum(map(len, taken.values())) < 200:
        claims += 1
        assert claims < 300, 'claims that take nothing'
        for m in story.take(5):
            taken[m.labels['a']].append(m.sequence)
            story.end(m)
    assert all(sequences == sorted(sequences) for sequences in taken.values()), taken
    story.drain()


def worked_example(redis, layout):
    """The example of docs/lanes.md: weights 2:1:1, two levels, no aging."""
    names = sorted((f'tenant {n}' for n in range(3)), key=hash8)
    a, b, c = names[0], names[1], names[2]
    story = Story(redis, layout, Structure(fair_by='t', levels=3), {hash8(a): 2000})
    put = {label: story.put({'t': tenant}, level) for label, tenant, level in [
        ('a1', a, 0), ('a2', a, 0), ('a3', a, 0), ('b1', b, 0), ('b2', b, 0), ('c1', c, 0), ('B1', b, 1)]}
    taken = [m for _ in range(7) for m in story.take()]
    assert taken == [put[label] for label in ['B1', 'a1', 'c1', 'a2', 'a3', 'b1', 'b2']], taken
    assert story.model.virtual == 2_000_000
    for m in taken:
        story.end(m)
    story.drain()


STORIES = [worked_example, due_at_one_instant, stall_of_a_cancelled_head, order_through_a_lost_lease, order_of_what_is_given_back, shares, debt, newcomer]


def tell(redis, layout):
    for story in STORIES:
        try:
            story(redis, layout)
        except Exception as fault:
            raise AssertionError(f'layout {layout}, story {story.__name__}: {fault!r}') from fault
    return len(STORIES)
