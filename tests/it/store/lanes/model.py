"""The rules of the index in plain Python and virtual time, with lists that are searched through."""
import hashlib, math
from messages import MINUTE_US, NONE, name2

# How long a blocker waits before it looks after what it has lent.
LOOK_US = 50_000
MOVED_MAX, WANTED_MAX, REFUSALS_MAX, RETURNS_MAX, RESCUES_MAX, FLOWS_MAX = 32, 64, 8, 8, 2, 8
ORDER = b'\0'
# So much later than a rate by key allows it a call may start without loss of its rate.
LATE_BY_QUEUE_US = 5000


class Lane:
    def __init__(self, key, is_ordered):
        self.key, self.is_ordered = key, is_ordered
        self.behind = []          # messages behind the head
        self.more = False         # whether there have ever been others behind the head
        self.state = None         # o, p, b or f
        self.head = None          # the message that stands for the lane; of a busy lane the one on its way
        self.blocker = None       # behind which it is parked

    def next(self):
        """The first of those behind the head, which is behind it no more; nothing if there never was one."""
        if not self.more or not self.behind:
            return None
        first = min(self.behind, key=lambda m: (m.place, m.ulid))
        self.behind.remove(first)
        return first


class Wide:
    """The limits without a key, which hold the whole queue."""

    def __init__(self, run):
        self.run, self.arrivals, self.used = run, {}, {}

    def adopt(self, meta):
        for limit in self.all():
            stored = meta.get(b'tat_us' if limit.name == 'rate' else b'limit:' + limit.name.encode(), b'').split()
            if limit.kind == 'rate' and stored:
                self.arrivals[limit.name] = float(stored[0])
            for start_ms, units in zip(stored[::3], stored[2::3]) if limit.kind == 'quota' else ():
                self.used[limit.name, int(start_ms) * 1000] = int(units)

    def all(self):
        return [limit for limit in self.run.s.limits if not limit.per]

    def periods(self, limit):
        return [ms * 1000 for ms in self.run.s.boundaries_ms(limit, self.run.now_us)]

    def units(self, limit, calls, messages):
        return messages if limit.by_message else calls

    def used_in(self, limit, at):
        return self.used.get((limit.name, self.periods(limit)[at]), 0)

    def period_of(self, limit, slot_us):
        periods = self.periods(limit)
        return next((at for at in (0, 1) if slot_us < periods[at + 1]), 2)

    def slot(self, from_us, calls, messages):
        """The first slot from then on, and whether it is known: no quota knows more than its next period."""
        slot_us = from_us
        for limit in self.all():
            if limit.kind == 'rate':
                slot_us = max(slot_us, self.arrivals.get(limit.name, 0) - (limit.burst - 1) * limit.period_us)
        while True:
            before = slot_us
            for limit in self.all():
                if limit.kind != 'quota':
                    continue
                at = self.period_of(limit, slot_us)
                while at < 2 and self.used_in(limit, at) + self.units(limit, calls, messages) > limit.units:
                    at += 1
                    slot_us = self.periods(limit)[at]
                if at == 2:
                    return slot_us, False
            if slot_us == before:
                return slot_us, True

    def most(self, slot_us, last_us, most):
        for limit in self.all():
            if limit.kind == 'rate':
                room_us = last_us + (limit.burst - 1) * limit.period_us - max(self.arrivals.get(limit.name, 0), slot_us)
                most = min(most, math.floor(room_us / limit.period_us) + 1)
            else:
                within = [at for at in range(self.period_of(limit, slot_us), 2) if self.periods(limit)[at] <= last_us]
                most = min(most, sum(max(0, limit.units - self.used_in(limit, at)) for at in within))
        return max(1, most)

    def fits(self, slot_us, cost):
        for limit in self.all():
            if limit.kind == 'quota' and limit.by_message:
                at = self.period_of(limit, slot_us)
                if at == 2 or self.used_in(limit, at) + cost > limit.units:
                    return False
        return True

    def take(self, slot_us, calls, messages):
        for limit in self.all():
            units = self.units(limit, calls, messages)
            if units and limit.kind == 'rate':
                self.arrivals[limit.name] = max(self.arrivals.get(limit.name, 0), slot_us) + units * limit.period_us
            elif units:
                key = limit.name, self.periods(limit)[self.period_of(limit, slot_us)]
                self.used[key] = self.used.get(key, 0) + units

    def give_back(self, slot_us, calls, messages):
        for limit in self.all():
            at = self.period_of(limit, slot_us) if limit.kind == 'quota' and slot_us >= self.periods(limit)[0] else 2
            if at < 2:
                key = limit.name, self.periods(limit)[at]
                self.used[key] = max(0, self.used.get(key, 0) - self.units(limit, calls, messages))


class Model:
    def __init__(self, run):
        self.run, self.s, self.now_us = run, run.s, run.now_us
        self.lanes, self.virtual, self.tags = {}, 0, {}
        self.wrap, self.half = 2 ** run.scripts.circle, 2 ** run.scripts.circle // 2
        self.arrivals, self.used, self.flight, self.held = {}, {}, {}, {}
        self.waits, self.lent = {}, {}
        self.wide = Wide(run)
        self.ids = {}
        # Entries of ready lists, from the time before there were keys, and those of them that stand for a message.
        self.lists, self.in_lists = [], set()
        self.front_us, self.asks_limits = 0, False
        # What another shard granted for a claim: slots and units of the first call; none: no shard did.
        self.granted, self.granted_units = None, 1
        self.refusals, self.returns = {}, {}
        # What is looked at anew by the next claims, where limits have other values: arrivals, then waits.
        self.anew = None
        self.learn_ids()

    def learn_ids(self):
        """Which byte stands for which limit: what the shard says."""
        import audit
        for line in self.run.redis('HGET', audit.TAG + 'meta', 'structure').decode().splitlines():
            if line.startswith('limit '):
                _, ident, _, _, name = line.split(' ')
                self.ids[name] = bytes([int(ident)])

    def adopt(self, world):
        """Goes on from what is stored: after messages have moved over from another structure."""
        run = self.run
        for key, h in world.lanes.items():
            lane = self.lanes[key] = Lane(key, h['is_ordered'])
            lane.state, lane.more = h['state'], h['more']
            lane.head = run.messages.get(h['ulid'])
            lane.blocker = h['blocker'] if h['state'] == 'p' else None
        for member in world.rest:
            self.lanes[member[:8]].behind.append(run.messages[member[18:]])
        self.waits = dict(world.waits)
        self.lent = {b: (self.lanes.get(v[:8]), v[8:16], int.from_bytes(v[16:], 'big')) for b, v in world.lent.items()}
        self.virtual = world.virtual
        for tags in world.turns + [world.tags]:
            self.tags.update({flow: int(tag) for flow, tag in tags.items()})
        self.arrivals = dict(world.arrivals)
        self.used = {b: divmod(int(score), 2 ** 27) for b, score in world.used.items()}
        self.flight = {b: int(n) for b, n in world.flight.items()}
        for u, raw in world.held.items():
            pieces = [raw[at:at + 15] for at in range(8, len(raw), 15)]
            self.held[u] = [(piece[:9], int.from_bytes(piece[11:], 'big')) for piece in pieces]
        self.wide.adopt(world.meta)
        self.anew = world.anew
        self.lists = world.entries()
        self.in_lists = {entry for entry in self.lists if entry[:26] in world.message
                         and world.message[entry[:26]]['entry'] == entry and run.messages[entry[:26]].state == 'r'}
        return self

    # Keys.
    def of_lanes(self):
        return [limit for limit in self.s.limits if limit.per and limit.per != self.s.fair_by]

    def of_flows(self):
        return [limit for limit in self.s.limits if limit.per and limit.per == self.s.fair_by]

    def name(self, limit, message):
        return self.ids[limit.name] + message.key(limit.per)

    def limit(self, blocker):
        return next((limit for limit in self.s.limits if limit.per and self.ids[limit.name] == blocker[:1]), None)

    def blockers(self, message):
        return [self.name(limit, message) for limit in self.of_lanes()]

    def held_until(self, flow):
        ids = [self.ids[limit.name] + flow for limit in self.of_flows()]
        return max([self.waits[i] for i in ids if i in self.waits], default=None)

    def flow(self, message):
        return message.key(self.s.fair_by)

    def level(self, message):
        return min(self.s.levels - 1, message.band)

    def lane_key(self, message):
        if message.has(self.s.order_by):
            name, value = name2(self.s.order_by), message.key(self.s.order_by)
            return bytes([name[0] ^ value[0], name[1] ^ value[1]]) + value[2:], True
        said = f'{self.s.levels} {self.level(message)}'.encode()
        said += b'o' + name2(self.s.order_by) if self.s.order_by else b'n'
        said += (name2(self.s.fair_by) if self.s.fair_by else b'') + self.flow(message)
        said += b''.join(name2(limit.per) + message.key(limit.per) for limit in self.of_lanes())
        return hashlib.sha1(said).digest()[:8], False

    def lane_of(self, message):
        return self.lanes.get(self.lane_key(message)[0])

    # Limits by key.
    def period_end_us(self, limit):
        """Of the period in which a claim at this moment starts calls."""
        first_us = self.now_us + self.run.lead_us
        start, end, after = (ms * 1000 for ms in self.s.boundaries_ms(limit, self.now_us))
        return end if first_us < end else after

    def period_starts_us(self, limit):
        """Of a quota by key whose next period is the one in which a claim starts calls."""
        if limit.kind != 'quota' or not limit.per:
            return 0
        end_us = self.s.boundaries_ms(limit, self.now_us)[1] * 1000
        return end_us if self.period_end_us(limit) > end_us else 0

    def terms(self, limit, blocker):
        """What a limit is for this key."""
        return limit.given(self.run.own.get(blocker[1:], {}).get(limit.name))

    def opens_at(self, limit, blocker, units):
        limit = self.terms(limit, blocker)
        if limit.kind == 'rate':
            return self.arrivals.get(blocker, 0) - (limit.burst - 1) * limit.period_us
        if limit.kind == 'concurrency':
            return 0 if self.flight.get(blocker, 0) < limit.units else math.inf
        end_us = self.period_end_us(limit)
        minute, used = self.used.get(blocker, (0, 0))
        return 0 if (used if minute == end_us // MINUTE_US else 0) + units <= limit.units else end_us

    def unit_opens_at(self, blocker):
        if not self.asks_limits:
            return self.now_us
        limit = self.limit(blocker)
        return self.opens_at(limit, blocker, 1) if limit else self.front_us

    def take_units(self, message, slot_us):
        """What its lease has to give back."""
        undo = []
        for limit in [limit for limit in self.s.limits if limit.per]:
            blocker = self.name(limit, message)
            if limit.kind == 'rate':
                from_us = max(self.arrivals.get(blocker, 0), slot_us - LATE_BY_QUEUE_US)
                self.arrivals[blocker] = from_us + message.cost * self.terms(limit, blocker).period_us
                continue
            if limit.kind == 'concurrency':
                self.flight[blocker] = self.flight.get(blocker, 0) + 1
                undo.append((blocker, 0))
            else:
                end_minute = self.period_end_us(limit) // MINUTE_US
                minute, used = self.used.get(blocker, (0, 0))
                self.used[blocker] = end_minute, (used if minute == end_minute else 0) + message.cost
                undo.append((blocker, end_minute))
        return undo

    # Flows. A flow has a tag as long as it has a turn, and afterwards while the virtual time has not passed it.
    def with_turn(self, level=None):
        """The flows that have an open lane, and which no limit holds."""
        heads = [lane.head for lane in self.lanes.values() if lane.state == 'o']
        flows = {self.flow(head) for head in heads if level is None or self.level(head) == level}
        return {flow for flow in flows if self.held_until(flow) is None}

    def ahead(self, tag):
        return (tag - self.virtual) % self.wrap

    def gets_turn(self, flow, had_turn):
        if not had_turn and not (flow in self.tags and self.ahead(self.tags[flow]) < self.half):
            self.tags[flow] = self.virtual

    def loses_turn(self, flow):
        if flow not in self.with_turn() and flow in self.tags and not 0 < self.ahead(self.tags[flow]) < self.half:
            del self.tags[flow]

    def move_tag(self, flow, share):
        if flow in self.tags and self.ahead(self.tags[flow]) < self.half:
            distance = self.ahead(self.tags[flow]) + share
            self.tags[flow] = (self.virtual + max(0, min(distance, self.half - 1))) % self.wrap

    def share(self, flow, cost):
        own = self.run.own.get(flow, {}).get('weight')
        return cost * 1_000_000_000 // (own or self.run.weights.get(flow, 1000))

    def look_at_key(self, value, names, now_us):
        """A key was given other values of these limits: what they hold of it is looked at by the next claim."""
        for limit in self.of_lanes() + self.of_flows():
            blocker = self.ids[limit.name] + value
            if limit.name in names and limit.kind == 'rate' and blocker in self.arrivals:
                furthest_us = now_us + limit.burst * self.terms(limit, blocker).period_us
                self.arrivals[blocker] = min(self.arrivals[blocker], furthest_us)
            if limit.name in names and blocker in self.waits:
                self.waits[blocker] = now_us

    # Where lanes stand.
    def parked(self, blocker):
        return [lane for lane in self.lanes.values() if lane.state == 'p' and lane.blocker == blocker]

    def open(self, lane):
        flow = self.flow(lane.head)
        had_turn = flow in self.with_turn()
        lane.state, lane.blocker = 'o', None
        if self.held_until(flow) is None:
            self.gets_turn(flow, had_turn)

    def close(self, lane):
        lane.state = None
        if self.held_until(self.flow(lane.head)) is None:
            self.loses_turn(self.flow(lane.head))

    def comes_back(self, blocker, is_refused):
        if not self.parked(blocker):
            del self.lent[blocker]
            return
        self.lent[blocker] = None, self.lent[blocker][1], 0
        opens_us = self.unit_opens_at(blocker)
        if is_refused:
            self.returns[blocker] = self.returns.get(blocker, 0) + 1
            if self.returns[blocker] >= RETURNS_MAX:
                opens_us = max(opens_us, self.front_us + LOOK_US)
        self.waits[blocker] = opens_us

    def lents_come_back(self, lane, message, is_refused=False):
        for blocker in self.blockers(message):
            if self.lent.get(blocker, (None,))[0] is lane:
                self.comes_back(blocker, is_refused)

    def has_lent(self, blocker):
        return self.lent.get(blocker, (None,))[0] is not None

    def stand(self, lane, message):
        lane.head = message
        waiting = [(self.waits[blocker], -i, blocker) for i, blocker in enumerate(self.blockers(message)) if blocker in self.waits]
        if not waiting:
            return self.open(lane)
        blocker = max(waiting)[2]
        lane.state, lane.blocker = 'p', blocker
        lane_lent, _, since_us = self.lent.get(blocker, (None, None, 0))
        if lane_lent is None and since_us and self.held_until(self.flow(message)) is None:
            self.waits[blocker] = self.now_us

    def stand_down(self, lane):
        if lane.state == 'p':
            blocker, lane.state, lane.blocker = lane.blocker, None, None
            if not self.parked(blocker):
                self.waits.pop(blocker, None)
                self.lent.pop(blocker, None)
        else:
            self.close(lane)
            self.lents_come_back(lane, lane.head)

    def free(self, lane):
        if not lane.behind:
            self.waits.pop(ORDER + lane.key, None)
            del self.lanes[lane.key]
        else:
            lane.state, lane.head = 'f', None
            self.waits[ORDER + lane.key] = self.now_us

    def next_head(self, lane):
        message = lane.next()
        if message:
            self.stand(lane, message)
        else:
            del self.lanes[lane.key]

    def head_leaves(self, lane):
        held_by = self.blockers(lane.head) + [self.ids[limit.name] + self.flow(lane.head) for limit in self.of_flows()]
        for blocker in held_by:
            if blocker in self.waits:
                self.waits[blocker] = self.now_us
        message = None if lane.is_ordered else lane.next()
        if message:
            lane.head = message
        else:
            self.stand_down(lane)
            self.next_head(lane)

    # Steps.
    def enter(self, message, now_us):
        self.now_us = now_us
        key, is_ordered = self.lane_key(message)
        lane = self.lanes.get(key)
        if not lane:
            lane = self.lanes[key] = Lane(key, is_ordered)
            return self.stand(lane, message)
        if lane.state == 'b' and lane.head is message:
            if not message.begun and lane.more:
                lane.behind.append(message)
                return self.free(lane)
            self.waits.pop(ORDER + key, None)
            return self.stand(lane, message)
        if lane.state in 'op' and message.place < lane.head.place:
            lane.more = True
            if is_ordered:
                self.stand_down(lane)
                lane.behind.append(lane.head)
                self.stand(lane, message)
            else:
                lane.behind.append(lane.head)
                lane.head = message
            return
        lane.behind.append(message)
        lane.more = True

    def leaves(self, message, now_us):
        """It ends, or moves, where it waits."""
        self.now_us = now_us
        lane = self.lane_of(message)
        if message.state != 'r':
            return self.ends(message, now_us)
        listed = {entry for entry in self.in_lists if entry[:26] == message.ulid}
        if listed:
            self.in_lists -= listed
            return
        if lane.head is message and lane.state in 'op':
            self.head_leaves(lane)
        else:
            lane.behind.remove(message)

    def ends(self, message, now_us):
        """Its lane of order waits for it no more."""
        self.now_us = now_us
        lane = self.lane_of(message)
        if lane and lane.is_ordered and lane.state == 'b' and lane.head is message:
            self.free(lane)

    def lease_ends(self, message, has_started, now_us):
        self.now_us = now_us
        for blocker, end_minute in self.held.pop(message.ulid, []):
            if end_minute == 0:
                self.flight[blocker] -= 1
                if not self.flight[blocker]:
                    del self.flight[blocker]
            else:
                minute, used = self.used.get(blocker, (0, 0))
                if has_started or minute != end_minute:
                    continue
                self.used[blocker] = minute, max(0, used - message.cost)
            if blocker in self.waits:
                self.waits[blocker] = now_us

    def holder_leaves(self, message, now_us):
        """It has left its lease, and its state says where to."""
        self.now_us = now_us
        lane = self.lane_of(message)
        if not (lane and lane.is_ordered and lane.state == 'b' and lane.head is message):
            return
        if message.state in 'DXEC' or (message.state == 'A' and not self.s.until_final):
            return self.free(lane)
        if self.s.stall_ms and message.state in 'rsU':
            since_ms = now_us // 1000 if message.state == 'U' else message.first_ms + self.run.scripts.claimed_ahead_ms
            self.waits[ORDER + lane.key] = (since_ms + self.s.stall_ms) * 1000

    def gives_back(self, message):
        flow = self.flow(message)
        self.move_tag(flow, -self.share(flow, message.cost))

    # A claim.
    def lanes_at(self, level, flow):
        found = [lane for lane in self.lanes.values()
                 if lane.state == 'o' and self.level(lane.head) == level and self.flow(lane.head) == flow]
        return min(found, key=lambda lane: (lane.head.place, lane.key))

    def choose_once(self):
        best = least = None
        for level in reversed(range(self.s.levels)):
            # The least tag from the virtual time on; among equal ones the least flow.
            flows = sorted(self.with_turn(level), key=lambda flow: (self.ahead(self.tags[flow]), self.tags[flow], flow))
            if not flows:
                continue
            least = min(self.ahead(self.tags[flows[0]]), self.wrap if least is None else least)
            flow = next((flow for flow in flows if self.refusals.get(flow, 0) < REFUSALS_MAX), None)
            if flow is None:
                continue
            lane = self.lanes_at(level, flow)
            rank = lane.head.due_ms - level * self.s.aging_ms if self.s.aging_ms else 0
            if best is None or (self.s.aging_ms and rank < best[0]):
                best = rank, lane
        if least is not None:
            self.virtual = (self.virtual + max(0, least - 1)) % self.wrap
        return best and best[1]

    def choose(self):
        lane = self.choose_once()
        if lane is None and any(n >= REFUSALS_MAX for n in self.refusals.values()):
            self.refusals = {flow: n for flow, n in self.refusals.items() if n < REFUSALS_MAX}
            lane = self.choose_once()
        return lane

    def line(self, lane):
        return 9 - self.level(lane.head), self.flow(lane.head), lane.head.place, lane.key

    def lend(self, blocker):
        parked = sorted(self.parked(blocker), key=self.line)
        lent = self.lent.get(blocker)
        if not parked:
            self.waits.pop(blocker, None)
            self.lent.pop(blocker, None)
            return
        level = self.level(parked[0].head)
        if self.s.aging_ms and self.s.levels > 1:
            firsts = {}
            for lane in parked:
                firsts.setdefault(self.level(lane.head), lane)
            level = min(firsts, key=lambda v: (firsts[v].head.due_ms - v * self.s.aging_ms, -v))
        # The line of flows, each by its first lane, in turn from the one after the last.
        flows = {}
        for lane in parked:
            flows.setdefault((9 - self.level(lane.head), self.flow(lane.head)), lane)
        turns = list(flows)
        behind = [turn for turn in turns if turn[0] == 9 - level and lent and turn[1] > lent[1]]
        start = behind[0] if behind else next(turn for turn in turns if turn[0] == 9 - level)
        at = turns.index(start)
        looked_at = (turns[at:] + turns[:at])[:FLOWS_MAX]
        free = [turn for turn in looked_at if self.held_until(turn[1]) is None]
        if not free:
            since_us = lent[2] if lent and lent[0] is None and lent[2] else self.now_us
            self.lent[blocker] = None, looked_at[-1][1], since_us
            until_us = min(self.held_until(turn[1]) for turn in looked_at)
            self.waits[blocker] = max(self.front_us + LOOK_US, min(until_us, self.front_us + self.now_us - since_us))
            return
        lane = flows[free[0]]
        self.open(lane)
        if len(parked) > 1:
            self.lent[blocker] = lane, free[0][1], self.now_us
            self.waits[blocker] = self.front_us + LOOK_US
        else:
            self.waits.pop(blocker, None)
            self.lent.pop(blocker, None)

    def is_still_lent(self, blocker):
        lane, flow, since_us = self.lent.get(blocker, (None, None, 0))
        if lane is None:
            return False
        if self.held_until(self.flow(lane.head)) is None:
            self.waits[blocker] = self.front_us + max(LOOK_US, self.now_us - since_us)
            return True
        self.close(lane)
        lane.state, lane.blocker = 'p', blocker
        self.lent[blocker] = None, flow, 0
        return False

    def look_anew(self):
        """Limits have other values: no arrival is later than a burst explains, and all that waits is looked at again."""
        if self.anew == 'waits':
            self.waits.update({blocker: self.now_us for blocker in self.waits if blocker[:1] != ORDER})
            self.anew = None
        elif self.anew == 'arrivals':
            for blocker in self.arrivals:
                limit = self.limit(blocker)
                if limit and limit.kind == 'rate' and self.terms(limit, blocker) is limit:
                    furthest_us = self.horizon_end_us + limit.burst * limit.period_us
                    self.arrivals[blocker] = min(self.arrivals[blocker], furthest_us)
            self.anew = 'waits'

    def lend_due(self):
        """Lets what is due at the front go on, as much as the call may move."""
        due = sorted((at, blocker) for blocker, at in self.waits.items() if at <= self.front_us)
        due = due[:max(0, self.budget - self.moved)]
        self.moved += len(due)
        for _, blocker in due:
            if blocker[:1] == ORDER:
                del self.waits[blocker]
                lane = self.lanes.get(blocker[1:])
                if lane and lane.state in 'bf':
                    self.next_head(lane)
                continue
            limit = self.limit(blocker)
            if self.is_still_lent(blocker):
                continue
            opens_us = self.opens_at(limit, blocker, 1)
            if opens_us > self.front_us:
                self.waits[blocker] = opens_us
            elif limit in self.of_flows():
                self.flow_goes_on(blocker[1:])
            else:
                self.lend(blocker)

    def flow_goes_on(self, flow):
        for limit in self.of_flows():
            self.waits.pop(self.ids[limit.name] + flow, None)
        if flow in self.with_turn():
            self.gets_turn(flow, False)

    def refused(self, message, units):
        """The limit by key that opens last of those that do not let it start at the front."""
        worst = None
        for limit in self.of_lanes() + self.of_flows():
            opens_us = self.opens_at(limit, self.name(limit, message), units)
            if opens_us > self.front_us and (worst is None or opens_us > worst[0]):
                worst = opens_us, self.name(limit, message), limit
        return worst

    def flow_waits(self, flow, opens_us, blocker):
        self.waits[blocker] = opens_us
        self.loses_turn(flow)

    def park(self, lane, opens_us, blocker):
        self.close(lane)
        self.park_closed(lane, lane.head, opens_us, blocker)

    def park_closed(self, lane, old_head, opens_us, blocker):
        lane.state, lane.blocker = 'p', blocker
        self.lents_come_back(lane, old_head, True)
        if not self.has_lent(blocker):
            self.waits[blocker] = opens_us

    def wide_slot(self, cost):
        run = self.run
        if run.batch_items and self.taken:
            return self.taken[0][1] if self.wide.fits(self.taken[0][1], cost) else None
        if self.granted is not None:
            while self.slots_left and self.slots_left[0] < self.front_us:
                self.slots_left.pop(0)
            slot_us = self.slots_left[0] if self.slots_left else None
            if slot_us is not None and slot_us <= self.last_us:
                return slot_us
            self.next_us = max(self.front_us, self.next_us or 0) if slot_us is None else slot_us
            return None
        if not self.wide.all():
            return self.front_us
        slot_us, is_known = self.wide.slot(self.front_us, 1 if run.batch_items else cost, cost)
        if is_known and slot_us <= self.last_us:
            return slot_us
        if is_known and slot_us <= self.horizon_end_us and (not self.before_us or slot_us < self.before_us):
            self.next_us = slot_us
        else:
            self.limit_wait_us = self.wide_wait(slot_us, is_known)
        return None

    def wide_wait(self, slot_us, is_known):
        last_us = self.horizon_end_us
        return slot_us - last_us if is_known else max(0, slot_us - last_us)

    def begin(self, wanted):
        run = self.run
        self.now_us = run.now_us
        # Nobody waits for a slot where neither a rate nor a quota gives one.
        has_slots = bool(self.wide.all()) or self.granted is not None or any(limit.kind != 'concurrency' for limit in self.s.limits)
        self.first_us = self.front_us = run.now_us + run.lead_us if has_slots else run.now_us
        ahead_us = self.first_us + run.horizon_us if has_slots else self.first_us
        self.horizon_end_us = max([ahead_us] + (self.granted or [])[-1:])
        self.last_us = min(self.horizon_end_us, self.before_us - 1) if self.before_us else self.horizon_end_us
        for limit in self.s.limits:
            if limit.per and limit.kind == 'quota':
                self.last_us = min(self.last_us, self.period_end_us(limit) - 1)
        self.budget, self.moved, self.asks_limits = MOVED_MAX + wanted, 0, True
        self.refusals, self.returns, self.taken, self.lapsed = {}, {}, [], []
        self.next_us = self.limit_wait_us = None
        self.cost_wanted, self.slots_left = 0, list(self.granted or [])
        self.stale = 0
        self.is_more = self.is_blocked = False

    def end(self):
        self.asks_limits = False
        self.refusals, self.returns = {}, {}
        self.pruned()

    def pruned(self):
        if not any(lane.state == 'o' for lane in self.lanes.values()):
            self.virtual, self.tags = 0, {}
        flows = self.with_turn()
        for flow in [flow for flow in self.tags if flow not in flows and not 0 < self.ahead(self.tags[flow]) < self.half]:
            del self.tags[flow]

    def prune(self, now_us):
        """What is idle goes where nothing is claimed."""
        self.now_us = now_us
        for blocker in [blocker for blocker, at in self.waits.items() if at <= now_us]:
            lane = self.lanes.get(blocker[1:])
            if blocker[:1] == ORDER and lane.state == 'f' and not lane.behind:
                del self.waits[blocker], self.lanes[lane.key]
            elif blocker[:1] != ORDER and self.limit(blocker) in self.of_flows():
                if not any(lane.state == 'o' and self.flow(lane.head) == blocker[1:] for lane in self.lanes.values()):
                    del self.waits[blocker]
        self.pruned()

    def lend_meanwhile(self, moved=0):
        self.begin(0)
        self.moved = moved
        self.look_anew()
        self.lend_due()
        is_more = self.moved >= self.budget or self.anew is not None
        self.end()
        return is_more

    def claim(self, came, wanted, in_doubt, before_us, batch_now):
        """Code and wait of the answer; `taken` and `lapsed` are what left."""
        run = self.run
        self.before_us = before_us
        self.taken, self.lapsed = [], []
        if not self.lanes_ready():
            if self.waits or self.tags:
                self.lend_meanwhile()
            return run.EMPTY, -1
        leased = [m for m in run.messages.values() if m.state == 'L']
        lent = 0
        if run.batch_items:
            # What is due may be what a batch waits for.
            self.begin(0)
            self.look_anew()
            self.lend_due()
            lent = self.moved
        code = self.gate(leased, in_doubt, wanted, batch_now)
        if code:
            if run.batch_items:
                self.end()
            return code
        calls = 1 if run.batch_items else min(run.free_calls(in_doubt), self.calls_asked(wanted))
        if self.wide.all():
            self.begin(0)
            self.moved = lent
            slot_us, is_known = self.wide.slot(self.first_us, 1, 1)
            if not is_known or slot_us > self.horizon_end_us or (before_us and slot_us >= before_us):
                is_more = self.lend_meanwhile(lent)
                return run.LIMIT, 0 if is_more else self.wide_wait(slot_us, is_known)
            calls = self.wide.most(slot_us, self.horizon_end_us, calls)
        want = min(run.batch_items or calls, wanted)
        if not run.batch_items:
            want = min(want, WANTED_MAX)
        self.begin(want)
        self.moved = lent
        self.look_anew()
        not_from_ms = self.comes_in(came)
        self.is_more = self.is_more or self.anew is not None
        self.take(want, not leased, not_from_ms)
        self.end()
        if in_doubt:
            for message in self.lapsed:
                self.enter(message, run.now_us)
        if self.taken:
            return run.TAKEN, 0 if self.granted is None or self.is_more else self.keys_wait_us()
        if self.limit_wait_us is not None:
            return run.LIMIT, self.limit_wait_us
        if self.cost_wanted:
            return run.STALE, 0
        if self.is_blocked:
            return run.CONCURRENCY, -1
        if not self.is_more and not self.lapsed and not self.stale:
            return run.KEYS, self.keys_wait_us()
        return (run.DOUBT, 1_000_000) if in_doubt and self.lapsed else (run.STALE, 0)

    def calls_asked(self, wanted):
        return wanted if self.granted is None else len(self.granted)

    def gate(self, leased, in_doubt, wanted, batch_now):
        """What does not let the claim begin; nothing: it may."""
        run = self.run
        if (len(leased) == 1 and leased[0].is_alone) or min(run.free_calls(in_doubt), self.calls_asked(wanted)) <= 0:
            return run.CONCURRENCY, -1
        gathers_us = self.gathers_us(batch_now) if run.batch_items else 0
        return (run.GATHERING, gathers_us) if gathers_us > 0 else None

    def lanes_ready(self):
        return self.lists or any(lane.state in 'op' or lane.behind for lane in self.lanes.values())

    def keys_wait_us(self):
        if self.next_us is None or self.next_us == math.inf:
            return -1
        if self.granted is not None:
            return max(0, self.next_us - self.first_us)
        from_us = self.first_us if self.last_us < self.horizon_end_us and self.next_us > self.last_us else self.horizon_end_us
        return max(0, self.next_us - from_us)

    def gathers_us(self, batch_now):
        """How much longer a batch waits for company: what could start now counts."""
        if batch_now:
            return 0
        items, now_ms = self.run.batch_items, self.run.now_us // 1000
        opened = [lane for lane in self.lanes.values() if lane.state == 'o']
        opened.sort(key=lambda lane: (self.level(lane.head), self.flow(lane.head), lane.head.place, lane.key))
        count = min(len(opened), items)
        if count == 0 or count >= items:
            return 0
        for lane in opened[:items]:
            if not lane.is_ordered and count < items:
                room = min([items - count + 1] + [self.room(limit, lane.head) for limit in self.of_lanes() + self.of_flows()])
                count += min(len(lane.behind), max(0, room - 1))
        virtual = self.virtual
        lane = self.choose()
        self.virtual = virtual
        if count >= items or not lane or lane.head.due_ms > now_ms:
            return 0
        return max(0, (lane.head.due_ms + 30 - now_ms) * 1000)

    def room(self, limit, message):
        """How many messages of cost 1 a limit by key lets start now."""
        blocker, now_us = self.name(limit, message), self.run.now_us
        limit = self.terms(limit, blocker)
        if limit.kind == 'rate':
            room_us = now_us + (limit.burst - 1) * limit.period_us - max(self.arrivals.get(blocker, 0), now_us)
            return math.floor(room_us / limit.period_us) + 1
        if limit.kind == 'concurrency':
            return limit.units - self.flight.get(blocker, 0)
        minute, used = self.used.get(blocker, (0, 0))
        return limit.units - (used if minute == self.period_end_us(limit) // MINUTE_US else 0)

    def comes_in(self, came):
        """What is due comes in before anything is chosen; what of it is left outside holds back what is due no sooner."""
        now_us = self.now_us
        for message in came:
            self.enter(message, now_us)
        left = [m.due_ms for m in self.run.messages.values() if m.state == 's' and m.due_ms <= now_us // 1000]
        not_from_ms = min(left) if left and came else None
        for entry in self.lists[:self.budget]:
            if entry in self.in_lists:
                self.enter(self.run.messages[entry[:26]], now_us)
            else:
                self.stale += 1
        if self.lists and len(self.lists) >= self.budget:
            self.is_more = True
            not_from_ms = 0 if self.s.order_by else not_from_ms
        self.in_lists -= set(self.lists[:self.budget])
        del self.lists[:self.budget]
        return not_from_ms

    def take(self, want, alone_possible, not_from_ms):
        run, goes_on = self.run, True
        if self.granted is not None:
            # Slots lie in the periods by which quotas are counted.
            began = [start for start in map(self.period_starts_us, self.s.limits) if start]
            self.front_us = max(began + self.granted[:1])
        while goes_on and len(self.taken) < want:
            if (self.wide.all() or self.granted is not None) and not (run.batch_items and self.taken):
                slot_us = self.wide_slot(1)
                if slot_us is None:
                    break
                self.front_us = slot_us
            self.lend_due()
            goes_on = self.take_one(alone_possible, not_from_ms)
            if self.moved >= self.budget:
                self.is_more, goes_on = True, False
        if self.granted is not None and len(self.taken) >= want and not self.is_more:
            self.next_us = 0 if self.choose() else min(self.waits.values(), default=None)

    def take_one(self, alone_possible, not_from_ms):
        run, n = self.run, len(self.taken)
        lane = self.choose()
        if lane is None:
            self.next_us = min(self.waits.values(), default=None)
            if self.next_us is None or self.next_us > self.last_us:
                return False
            if self.next_us > self.front_us and run.batch_items and n:
                return False
            self.front_us = max(self.front_us, self.next_us)
            return True
        message = lane.head
        if message.expires_ms and message.expires_ms <= self.now_us // 1000:
            self.lapsed.append(message)
            self.head_leaves(lane)
            self.moved += 1
            return True
        if not_from_ms is not None and lane.is_ordered and not message.begun and message.due_ms >= not_from_ms:
            self.is_more = True
            return False
        if message.rescues >= RESCUES_MAX and (n or not alone_possible):
            self.is_blocked = True
            return False
        worst = self.refused(message, message.cost)
        if worst:
            opens_us, blocker, limit = worst
            self.moved += 1
            if limit in self.of_flows():
                self.flow_waits(self.flow(message), opens_us, blocker)
            else:
                self.park(lane, opens_us, blocker)
                flow = self.flow(message)
                self.refusals[flow] = self.refusals.get(flow, 0) + 1
            return True
        if self.granted is not None and run.batch_items:
            # What the messages of a batch cost together.
            if sum(m.cost for m, _ in self.taken) + message.cost > self.granted_units:
                self.cost_wanted = 0 if n else message.cost
                return False
        elif self.granted is not None and message.cost > (1 if n else self.granted_units):
            self.cost_wanted = message.cost
            return False
        slot_us = self.wide_slot(message.cost)
        if slot_us is None:
            return False
        self.start(lane, message, slot_us)
        return message.rescues < RESCUES_MAX

    def start(self, lane, message, slot_us):
        is_first = not self.taken
        if self.granted is not None and (is_first or not self.run.batch_items):
            self.slots_left.pop(0)
        self.wide.take(slot_us, (1 if is_first else 0) if self.run.batch_items else message.cost, message.cost)
        self.held[message.ulid] = self.take_units(message, slot_us)
        self.taken.append((message, slot_us))
        self.move_tag(self.flow(message), self.share(self.flow(message), message.cost))
        if lane.is_ordered:
            self.close(lane)
            self.lents_come_back(lane, message)
            lane.state = 'b'
            return
        following = lane.next()
        if following is None:
            self.close(lane)
            self.lents_come_back(lane, message)
            del self.lanes[lane.key]
            return
        worst = self.refused(message, 1)
        if worst and worst[2] not in self.of_flows():
            self.close(lane)
            lane.head = following
            self.park_closed(lane, message, worst[0], worst[1])
            return
        lane.head = following
        self.lents_come_back(lane, message)
        if worst:
            self.flow_waits(self.flow(message), worst[0], worst[1])

    # Held against what the scripts did.
    def check_claim(self, run, told, came, wanted, in_doubt, before_us, batch_now):
        code, wait_us = self.claim(came, wanted, in_doubt, before_us, batch_now)
        got = told.get('ulids', [])
        assert got == [m.ulid for m, _ in self.taken], f'other messages: {got} instead of {self.taken} {told}'
        slots = told.get('slots', [])
        slots = slots * len(got) if len(slots) == 1 else slots
        assert slots == [math.ceil(at) for _, at in self.taken], f'other slots: {slots} instead of {self.taken}'
        assert (told['code'], told['wait_us']) == (code, math.ceil(wait_us)), f'{told} instead of {code}, {wait_us}'
        assert self.taken or code != run.STALE or told['cost_wanted'] == self.cost_wanted, f'{told}: {self.cost_wanted}'

    def compare(self, world):
        """What is stored agrees with the model, structure by structure."""
        def same(what, stored, expected):
            if stored != expected and isinstance(stored, dict):
                names = [name for name in {**stored, **expected} if stored.get(name) != expected.get(name)]
                stored, expected = [{name: of.get(name) for name in names} for of in (stored, expected)]
            assert stored == expected, f'{what}: {stored} instead of {expected}'
        lanes = {key: (lane.state, lane.is_ordered, lane.more, lane.head.ulid if lane.head else b'0' * 26,
                       lane.blocker if lane.state == 'p' else None) for key, lane in self.lanes.items()}
        same('lanes', {key: (h['state'], h['is_ordered'], h['more'], h['ulid'], h['blocker'] if h['state'] == 'p' else None)
                       for key, h in world.lanes.items()}, lanes)
        rest = {key + m.place + m.ulid for key, lane in self.lanes.items() for m in lane.behind}
        same('rest', set(world.rest), rest)
        same('waits', world.waits, {b: float(at) for b, at in self.waits.items()})
        lent = {b: (lane.key if lane else NONE, flow, since) for b, (lane, flow, since) in self.lent.items()}
        same('lent', {b: (v[:8], v[8:16], int.from_bytes(v[16:], 'big')) for b, v in world.lent.items()}, lent)
        same('revalue', world.anew, self.anew)
        same('virtual', world.virtual, self.virtual)
        for level in range(self.s.levels):
            same('turns', {f: int(t) for f, t in world.turns[level].items()}, {f: self.tags[f] for f in self.with_turn(level)})
        flows = self.with_turn()
        same('tags', {f: int(t) for f, t in world.tags.items()}, {f: t for f, t in self.tags.items() if f not in flows})
        same('flight', {b: int(n) for b, n in world.flight.items()}, self.flight)
        now_us = self.run.now_us
        for blocker, at in world.arrivals.items():
            same('arrivals', at, self.arrivals.get(blocker, 0))
        for blocker, at in self.arrivals.items():
            assert at <= now_us - LATE_BY_QUEUE_US or blocker in world.arrivals, f'an arrival is missing: {blocker} {at}'
        # What is idle has gone, as much of it as a call removes.
        self.arrivals = dict(world.arrivals)
        used = {blocker: divmod(int(score), 2 ** 27) for blocker, score in world.used.items()}
        for blocker, units in used.items():
            same('used', units, self.used.get(blocker))
        for blocker, (end_minute, units) in self.used.items():
            is_over = end_minute * MINUTE_US <= now_us
            assert is_over or blocker in used, f'what was used of a quota is missing: {blocker} {end_minute} {units}'
        # A period that is over and gone gets no units back, so that nothing becomes due by them.
        self.used = used
