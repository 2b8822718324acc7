"""What random steps meet too rarely: small stories with a known end."""
from audit import TAG
from messages import Limit, Message, Structure, hash8, ulid
from model import Model
from run import EMPTY, NODE, START_US, Run


class Story(Run):
    """A queue whose claims take one message after the other, unless they are told."""

    def __init__(self, redis, scripts, structure, weights=None):
        super().__init__(redis, scripts, 1, structure, weights or {}, Model)
        self.now_us = START_US
        self.horizon_us = self.lead_us = self.batch_items = 0
        self.concurrency, self.lease_ms = 1000, 30_000

    def add(self, labels, band=0, cost=1, due_ms=None):
        self.count += 1
        m = Message(ulid(self.now_ms, self.count), band, due_ms or self.now_ms, 0, cost, labels)
        self.put([m])
        return m

    def take(self, wanted=1):
        taken = self.claim(wanted)
        self.audit()
        return taken

    def done(self, *messages):
        self.ack(list(messages))
        self.audit()

    def cancel_all(self):
        self.drain()


def stall_of_a_cancelled_head(redis, scripts):
    """The moment at which a cancelled head would have been skipped skips nobody else."""
    story = Story(redis, scripts, Structure(order_by='a', stall_ms=1))
    head = story.add({'a': '1'})
    assert story.take() == [head]
    story.retry([head])
    story.call('reschedule', ulid=head.ulid, due_at=story.now_ms + 60_000, ranks='', expires_at='', with_payload=False, payload='')
    story.model.leaves(head, story.now_us)
    head.state, head.due_ms = 's', story.now_ms + 60_000
    story.audit()
    first, second = story.add({'a': '1'}), story.add({'a': '1'})
    assert story.take() == [first]
    story.now_us += 5000
    assert story.take() == [], 'two of an order key at once'
    story.done(first)
    assert story.take() == [second]
    story.done(second)
    story.drain()


def skipped_by_a_stall(redis, scripts):
    """A message that fails again and again lets its key go on, and then goes before all that have not begun."""
    story = Story(redis, scripts, Structure(order_by='a', stall_ms=20))
    head, second, third = (story.add({'a': '1'}) for _ in range(3))
    assert story.take() == [head]
    story.now_us += 50_000
    story.rng.choice = lambda values: values[-1]
    story.retry([head])
    story.audit()
    del story.rng.choice
    assert story.take() == []
    story.now_us += 1000 * (scripts.claimed_ahead_ms + 30) - 50_000
    assert story.take() == [second]
    story.now_us += 100_000
    story.promote()
    assert story.take() == [], 'two of an order key at once'
    story.done(second)
    assert story.take() == [head]
    story.done(head)
    assert story.take() == [third]
    story.done(third)
    story.drain()


def order_through_a_lost_lease(redis, scripts):
    """A head whose lease was lost goes before all others of its key, even before one with an earlier place."""
    story = Story(redis, scripts, Structure(order_by='a'))
    head = story.add({'a': '1'})
    assert story.take() == [head]
    earlier = story.add({'a': '1'}, due_ms=story.now_ms - 5)
    assert story.take() == []
    story.now_us += 40_000_000
    story.rng.random = lambda: 0.9
    story.reap()
    del story.rng.random
    story.audit()
    assert story.take(2) == [head]
    story.done(head)
    assert story.take(2) == [earlier]
    story.done(earlier)
    story.drain()


def order_of_what_is_given_back(redis, scripts):
    """Nothing of it has left: what came meanwhile with an earlier place goes first."""
    story = Story(redis, scripts, Structure(order_by='a'))
    head = story.add({'a': '1'})
    assert story.take() == [head]
    earlier = story.add({'a': '1'}, due_ms=story.now_ms - 5)
    story.release([head])
    story.audit()
    assert story.take(2) == [earlier]
    story.done(earlier)
    assert story.take(2) == [head]
    story.release([head])
    story.drain()


def shares(redis, scripts):
    """Weights 5:3:2; tags of those that are idle go."""
    weights = {'5': 5000, '3': 3000, '2': 2000}
    story = Story(redis, scripts, Structure(fair_by='a'), {hash8(k): w for k, w in weights.items()})
    for _ in range(80):
        for tenant in weights:
            story.add({'a': tenant})
    got = {tenant: 0 for tenant in weights}
    for step in range(120):
        if step % 8 == 0:
            story.add({'a': f'idle {step}'})
        for m in story.take():
            story.done(m)
            if m.labels['a'] in got:
                got[m.labels['a']] += 1
    total = sum(got.values())
    assert total == 105, got
    assert all(abs(got[t] / total - w / 10000) < 0.03 for t, w in weights.items()), got
    story.drain()


def debt(redis, scripts):
    """What a tenant sends with priority counts: the other one goes first afterwards."""
    story = Story(redis, scripts, Structure(fair_by='a', levels=3))
    for _ in range(30):
        story.add({'a': 'high'}, 2)
    low = [story.add({'a': 'low'}) for _ in range(10)]
    taken = []
    for step in range(41):
        if step == 30:
            story.add({'a': 'high'})
        taken += story.take()
    assert all(m.band == 2 for m in taken[:30])
    assert taken[30:40] == low and len(taken) == 41
    story.done(*taken)
    story.drain()


def newcomer(redis, scripts):
    """Beside ten tenants with a backlog a new one waits for one message of each at most."""
    story = Story(redis, scripts, Structure(fair_by='a'))
    for _ in range(8):
        for n in range(10):
            story.add({'a': f'{n}'})
    for _ in range(57):
        story.take()
    new, waited = story.add({'a': 'new'}), 0
    while new not in story.take():
        waited += 1
    assert waited <= 10, waited
    story.drain()


def due_at_one_instant(redis, scripts):
    """More is due than one claim brings in: nothing of a key overtakes what is due still."""
    story = Story(redis, scripts, Structure(order_by='a'))
    due_ms = story.now_ms + 1
    for n in range(200):
        # The ids are not in the order of acceptance, and ids decide what is promoted first.
        story.put([Message(ulid(story.now_ms, (n * 7919) % 1009), 0, due_ms, 0, 1, {'a': str(n % 3)})])
    story.now_us += 1000
    story.add({'a': 'other'})
    taken, claims = {'0': [], '1': [], '2': [], 'other': []}, 0
    while sum(map(len, taken.values())) < 201:
        claims += 1
        assert claims < 300, 'claims that take nothing'
        for m in story.take(5):
            taken[m.labels['a']].append(m.sequence)
            story.done(m)
    assert all(sequences == sorted(sequences) for sequences in taken.values()), taken
    story.drain()


def worked_example(redis, scripts):
    """The example of docs/lanes.md: weights 2:1:1, levels, no aging."""
    a, b, c = sorted((f'tenant {n}' for n in range(3)), key=hash8)
    story = Story(redis, scripts, Structure(fair_by='t', levels=3), {hash8(a): 2000})
    added = {label: story.add({'t': tenant}, level) for label, tenant, level in [
        ('a1', a, 0), ('a2', a, 0), ('a3', a, 0), ('b1', b, 0), ('b2', b, 0), ('c1', c, 0), ('B1', b, 1)]}
    taken = [m for _ in range(7) for m in story.take()]
    assert taken == [added[label] for label in ['B1', 'a1', 'c1', 'a2', 'a3', 'b1', 'b2']], taken
    story.done(*taken)
    story.drain()


def flood_behind_one_blocker(redis, scripts):
    """A flood whose limit is exhausted is parked as it is met; others go meanwhile, and each claim moves a bounded number."""
    limit = Limit('one', 'rate', 'h', 1_000_000, 1)
    story = Story(redis, scripts, Structure(order_by='a', fair_by='t', limits=[limit]))
    for n in range(150):
        story.add({'a': f'{n}', 't': 'flood', 'h': 'flood'})
    other = story.add({'a': 'other', 't': 'other', 'h': 'other'})
    assert other in story.take(5), 'the flood holds up another tenant'
    for _ in range(10):
        story.take(5)
    assert len(story.of('L')) == 2
    story.now_us += 1_000_000
    assert len(story.take(5)) == 1
    assert story.commands_max < 1200, story.commands_max
    story.drain()


def raised_at_once(redis, scripts):
    """A limit that is raised lets go what it held: no claim sleeps before all that waits has been looked at."""
    limit = Limit('calls', 'concurrency', 'a', units=1)
    story = Story(redis, scripts, Structure(limits=[limit]))
    first, second = story.add({'a': '1'}), story.add({'a': '1'})
    assert story.take() == [first] and story.take() == []
    limit.units = 2
    story.tell_values()
    # Arrivals come first, and the answer says to ask again, which the model checks.
    assert story.take() == []
    assert story.take() == [second]
    story.done(first, second)
    story.drain()


def faster_at_once(redis, scripts):
    """A rate that is faster now holds nothing for as long as the old one did."""
    limit = Limit('one', 'rate', 'a', 3_600_000_000, 1)
    story = Story(redis, scripts, Structure(limits=[limit]))
    first, second = story.add({'a': '1'}), story.add({'a': '1'})
    assert story.take() == [first] and story.take() == []
    limit.period_us = 20_000
    story.tell_values()
    assert story.take() == [] and story.take() == []
    story.now_us += 20_000
    assert story.take() == [second]
    story.done(first, second)
    story.drain()


def empty_is_no_key(redis, scripts):
    """Messages whose label has the empty value have no order among them, and share one flow with those without it."""
    story = Story(redis, scripts, Structure(order_by='a', fair_by='t'))
    messages = [story.add({'a': '', 't': ''}), story.add({'a': '', 't': ''}), story.add({})]
    assert story.take() == messages[:1] and story.take() == messages[1:2] and story.take() == messages[2:]
    story.done(*messages)
    story.drain()


def pruned_in_parts(redis, scripts):
    """Where nothing is claimed any more, prune says as long as there is more that is idle."""
    story = Story(redis, scripts, Structure(limits=[Limit('one', 'rate', 'a', 1000, 1)]))
    messages = [story.add({'a': f'{n}'}) for n in range(5)]
    story.done(*[m for _ in messages for m in story.take()])
    story.now_us += 10_000_000
    for left, has_more in ((3, 1), (1, 1), (0, 0)):
        told = story.call('prune', rows=[(NODE,)], **story.expected(), most=2, delivered_max=0, dead_max=0, delivered_bytes_max=0,
                          dead_bytes_max=0)
        assert (redis('ZCARD', TAG + 'arrivals'), told['has_more']) == (left, has_more), told
        story.audit()
    story.drain()


def unreadable_in_a_ready_list(redis, scripts):
    """What a node that did not know of the keys has put there, and nobody can read, does not hold up what can be read."""
    story = Story(redis, scripts, Structure(order_by='a'))
    story.model = None
    first, second = [Message(ulid(story.now_ms, n), 0, story.now_ms, 0, 1, {'a': f'{n}'}) for n in range(2)]
    story.put([first, second], 'plain')
    record = redis('HGET', TAG + 'records', first.ulid)
    redis('HSET', TAG + 'records', first.ulid, b'\xff' + record[1:])
    assert story.claim_call(5, b'00000001')['ulids'] == [second.ulid]
    assert redis('EXISTS', TAG + 'ready:0') == 0
    assert story.claim_call(5, b'00000002')['code'] == EMPTY


def free_lane(redis, scripts, stall_ms=0):
    """A lane of order that is free, with two behind it."""
    story = Story(redis, scripts, Structure(order_by='a', stall_ms=stall_ms))
    story.model = None
    first, *behind = (story.add({'a': '1'}) for _ in range(3))
    assert story.take() == [first]
    story.done(first)
    return story, behind, redis('HKEYS', TAG + 'heads')[0]


def all_in_order(story, messages):
    for m in messages:
        assert story.take() == [m]
        story.done(m)
    story.drain()


def a_free_lane_that_would_wait_for_ever(redis, scripts):
    """The blocker of a free lane was told to wait until a call ends: no call ever says so."""
    story, behind, lane = free_lane(redis, scripts)
    redis('ZADD', TAG + 'waits', '+inf', b'\0' + lane)
    story.mend()
    story.audit()
    all_in_order(story, behind)


def a_stall_that_would_never_come(redis, scripts):
    """A lane that is busy for a message that failed goes on at the stall, also where somebody has put that off for ever."""
    story, (head, second), lane = free_lane(redis, scripts, 20)
    assert story.take() == [head]
    story.now_us += 50_000
    story.rng.choice = lambda values: values[-1]
    story.retry([head])
    del story.rng.choice
    redis('ZADD', TAG + 'waits', '+inf', b'\0' + lane)
    story.mend()
    story.audit()
    assert story.take() == []
    story.now_us += 1000 * (scripts.claimed_ahead_ms + 30) - 50_000
    assert story.take() == [second]
    story.done(second)
    story.now_us += 100_000
    story.promote()
    all_in_order(story, [head])


def a_free_lane_whose_head_is_gone(redis, scripts):
    """All that stood behind it stands behind the first of them."""
    story, behind, lane = free_lane(redis, scripts)
    redis('HDEL', TAG + 'heads', lane)
    story.mend()
    story.audit()
    all_in_order(story, behind)


STORIES = [worked_example, raised_at_once, faster_at_once, empty_is_no_key, pruned_in_parts, unreadable_in_a_ready_list,
           due_at_one_instant, stall_of_a_cancelled_head, skipped_by_a_stall, order_through_a_lost_lease,
           order_of_what_is_given_back, a_free_lane_that_would_wait_for_ever, a_stall_that_would_never_come,
           a_free_lane_whose_head_is_gone, shares, debt, newcomer, flood_behind_one_blocker]


def tell(redis, scripts):
    """Of tags that go round on a small circle only those that are about tags."""
    for each, stories in zip(scripts, (STORIES, [shares, debt, newcomer])):
        for story in stories:
            try:
                story(redis, each)
            except Exception as fault:
                raise AssertionError(f'story {story.__name__}, circle {each.circle}: {fault!r}') from fault
    return len(STORIES)
