"""The rules of the index in plain Python and virtual time, with lists that are searched through."""
import hashlib, math
from messages import MINUTE_US, NONE, name2


# How long a blocker waits before it looks after what it has lent.
LOOK_US = 50_000


class Lane:
    def __init__(self, key, is_ordered):
        self.key, self.is_ordered = key, is_ordered
        self.messages = []        # that stand in it
        self.more = False         # whether others ever stood behind the head: told at the next claim, not at once
        self.free_us = None       # since when it may go on
        self.head = None          # of them the one that stands for the lane
        self.holder = None        # the message on its way that nothing of the lane may overtake
        self.skip_us = None       # when it is overtaken nevertheless
        self.blocker = None       # behind which it is parked
        self.is_open = False

    def first(self):
        return min(self.messages, key=lambda m: m.place, default=None)


class Model:
    def __init__(self, structure, weights):
        self.s, self.weights = structure, weights
        self.lanes, self.virtual, self.tags = {}, 0, {}
        self.arrivals, self.used, self.flight = {}, {}, {}
        self.waits, self.lent = {}, {}
        self.leased = {}
        self.due_later = []       # that wait outside of the index: due time, ulid, message

    # Keys.
    def keyed(self):
        return [limit for limit in self.s.limits if limit.per and limit.per != self.s.fair_by]

    def of_flows(self):
        return [limit for limit in self.s.limits if limit.per and limit.per == self.s.fair_by]

    def held_until(self, flow):
        return max([self.waits[l.id + flow] for l in self.of_flows() if l.id + flow in self.waits], default=None)

    def limit(self, blocker):
        return next((limit for limit in self.s.limits if limit.id == blocker[:1]), None)

    def blockers(self, message):
        return [limit.id + message.key(limit.per) for limit in self.keyed()]

    def flow(self, message):
        return message.key(self.s.fair_by)

    def level(self, message):
        return min(self.s.levels - 1, message.level)

    def lane_key(self, message):
        order = message.key(self.s.order_by)
        if order != NONE:
            return order, True
        said = str(self.level(message)).encode() + name2(self.s.fair_by) + self.flow(message)
        said += b''.join(name2(limit.per) + message.key(limit.per) for limit in self.keyed())
        return bytes.fromhex(hashlib.sha1(said).hexdigest()[:16]), False

    def place_bytes(self, message):
        head = message.due_ms + (0 if message.begun else 1 << 47)
        return head.to_bytes(6, 'big') + message.sequence.to_bytes(6, 'big')

    # Limits.
    def opens_at(self, limit, blocker, units, now_us):
        if limit.kind == 'r':
            return max(now_us, self.arrivals.get(blocker, 0) - (limit.b - 1) * limit.a)
        if limit.kind == 'c':
            return now_us if self.flight.get(blocker, 0) < limit.a else math.inf
        minute, used = self.used.get(blocker, (0, 0))
        used = used if minute == limit.b else 0
        return now_us if used + units <= limit.a else limit.b * MINUTE_US

    def take_units(self, limit, blocker, slot_us, cost):
        if limit.kind == 'r':
            self.arrivals[blocker] = max(self.arrivals.get(blocker, 0), slot_us) + cost * limit.a
        elif limit.kind == 'q':
            minute, used = self.used.get(blocker, (0, 0))
            self.used[blocker] = (limit.b, (used if minute == limit.b else 0) + cost)
        else:
            self.flight[blocker] = self.flight.get(blocker, 0) + 1

    # Flows.
    def open_flows(self, level=None):
        lanes = [lane for lane in self.lanes.values() if lane.is_open and self.held_until(self.flow(lane.head)) is None]
        return {self.flow(lane.head) for lane in lanes if level is None or self.level(lane.head) == level}

    def ahead(self, tag):
        return (tag - self.virtual) % self.s.wrap

    def opened(self, flow, was_open):
        if was_open:
            return
        if flow not in self.tags or self.ahead(self.tags[flow]) >= self.s.wrap / 2:
            self.tags[flow] = self.virtual

    def move_tag(self, flow, share):
        if flow not in self.tags:
            return
        distance = self.ahead(self.tags[flow])
        if distance < self.s.wrap / 2:
            moved = max(0, min(distance + share, self.s.wrap // 2 - 1))
            self.tags[flow] = (self.virtual + moved) % self.s.wrap

    def share(self, flow, cost):
        return cost * 1000000000 // self.weights.get(flow, 1000)

    # Lanes.
    def parked(self, blocker):
        return [lane for lane in self.lanes.values() if lane.blocker == blocker]

    def open(self, lane):
        flow = self.flow(lane.head)
        was_open = flow in self.open_flows()
        lane.is_open, lane.blocker = True, None
        if self.held_until(flow) is None:
            self.opened(flow, was_open)

    def close(self, lane):
        lane.is_open = False
        if self.held_until(self.flow(lane.head)) is None:
            self.closed(self.flow(lane.head))

    def closed(self, flow):
        distance = self.ahead(self.tags[flow])
        if flow not in self.open_flows() and not 0 < distance < self.s.wrap / 2:
            del self.tags[flow]

    def hold(self, flow, worst):
        self.waits[worst[1]] = worst[0]
        self.closed(flow)

    def comes_back(self, blocker, now_us, last_us, is_refused):
        if not self.parked(blocker):
            self.lent.pop(blocker, None)
            return
        self.lent[blocker] = (None, self.lent[blocker][1], 0)
        opens_us = self.opens_at(self.limit(blocker), blocker, 1, now_us)
        if is_refused:
            self.returns[blocker] = self.returns.get(blocker, 0) + 1
            if self.returns[blocker] >= 8:
                opens_us = max(opens_us, last_us + LOOK_US)
        self.waits[blocker] = opens_us

    def lents_come_back(self, lane, message, now_us, last_us=None, is_refused=False):
        for blocker in self.blockers(message):
            if self.lent.get(blocker, (None,))[0] is lane:
                self.comes_back(blocker, now_us, last_us, is_refused)

    def is_lent(self, blocker):
        return self.lent.get(blocker, (None,))[0] is not None

    def stand(self, lane, now_us):
        found = []
        for blocker in self.blockers(lane.head):
            if blocker in self.waits:
                found.append((self.waits[blocker], blocker))
        if found:
            latest = max(at for at, _ in found)
            lane.blocker = next(blocker for at, blocker in found if at == latest)
            lent = self.lent.get(lane.blocker, (None, None, 0))
            if lent[0] is None and lent[2] and self.held_until(self.flow(lane.head)) is None:
                self.waits[lane.blocker] = now_us
        else:
            self.open(lane)

    def leave(self, lane, now_us):
        if lane.blocker:
            blocker, lane.blocker = lane.blocker, None
            if not self.parked(blocker):
                self.waits.pop(blocker, None)
                self.lent.pop(blocker, None)
        else:
            self.close(lane)
            self.lents_come_back(lane, lane.head, now_us)

    def drop(self, lane):
        del self.lanes[lane.key]

    def free(self, lane, now_us):
        lane.holder = lane.skip_us = None
        if not lane.more:
            self.drop(lane)
        else:
            lane.free_us = now_us

    # Steps.
    def enter(self, message, now_us):
        key, is_ordered = self.lane_key(message)
        lane = self.lanes.setdefault(key, Lane(key, is_ordered))
        lane.messages.append(message)
        if lane.holder is message and not message.begun and lane.more:
            self.free(lane, now_us)
        elif lane.holder is message:
            lane.holder = lane.skip_us = None
            lane.head = message
            self.stand(lane, now_us)
        elif lane.holder or lane.free_us is not None:
            lane.more = True
        elif lane.head is None:
            lane.head = message
            self.stand(lane, now_us)
        else:
            lane.more = True
            if message.place > lane.head.place:
                return
            if is_ordered:
                self.leave(lane, now_us)
                lane.head = message
                self.stand(lane, now_us)
            else:
                lane.head = message

    def cancel(self, message, now_us):
        lane = self.lanes.get(self.lane_key(message)[0])
        if not lane:
            return 0
        if lane.holder is message:
            self.free(lane, now_us)
            return 1
        if message not in lane.messages:
            return 0
        lane.messages.remove(message)
        if lane.head is message:
            if lane.messages and not lane.is_ordered:
                lane.head = lane.first()
            else:
                self.leave(lane, now_us)
                lane.head = lane.first()
                if lane.head:
                    self.stand(lane, now_us)
                else:
                    self.drop(lane)
        return 1

    def end_lease(self, message, has_started, now_us):
        for limit, blocker, minute in self.leased.pop(message.ulid):
            back = limit.kind == 'q' and not has_started and limit.b == minute
            if limit.kind == 'c':
                self.flight[blocker] -= 1
                back = bool(limit.per)
            elif back:
                held_minute, used = self.used.get(blocker, (0, 0))
                self.used[blocker] = (limit.b, max(0, (used if held_minute == limit.b else 0) - message.cost))
            if back and blocker in self.waits:
                self.waits[blocker] = now_us

    def settle(self, message, how, skip_us, now_us):
        self.end_lease(message, True, now_us)
        lane = self.lanes.get(self.lane_key(message)[0])
        if lane and lane.holder is message:
            if how == 'done':
                self.free(lane, now_us)
            elif skip_us is not None:
                lane.skip_us = skip_us

    def back(self, message, now_us):
        self.end_lease(message, False, now_us)
        self.enter(message, now_us)
        self.move_tag(self.flow(message), -self.share(self.flow(message), message.cost))

    def choose(self):
        best = least = None
        for level in reversed(range(self.s.levels)):
            # The least tag from the virtual time on; among equal ones the least flow.
            flows = sorted(self.open_flows(level), key=lambda f: (self.ahead(self.tags[f]), f))
            if not flows:
                continue
            least = min(self.ahead(self.tags[flows[0]]), self.s.wrap if least is None else least)
            flow = next((f for f in flows if self.refusals.get(f, 0) < 8), None)
            if flow is None:
                continue
            lanes = [lane for lane in self.lanes.values()
                     if lane.is_open and self.level(lane.head) == level and self.flow(lane.head) == flow]
            lane = min(lanes, key=lambda lane: (self.place_bytes(lane.head), lane.key))
            rank = lane.head.due_ms - level * self.s.aging_ms if self.s.aging_ms else 0
            if best is None or (self.s.aging_ms and rank < best[0]):
                best = rank, lane
        if least is not None:
            self.virtual = (self.virtual + least) % self.s.wrap
        return best and best[1]

    def line(self, lane):
        return 9 - self.level(lane.head), self.flow(lane.head), self.place_bytes(lane.head), lane.key

    def lend(self, blocker, now_us, last_us):
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
        looked_at = (turns[at:] + turns[:at])[:8]
        free = [turn for turn in looked_at if self.held_until(turn[1]) is None]
        if not free:
            since_us = lent[2] if lent and lent[0] is None and lent[2] else now_us
            self.lent[blocker] = (None, looked_at[-1][1], since_us)
            until_us = min(self.held_until(turn[1]) for turn in looked_at)
            self.waits[blocker] = max(last_us + LOOK_US, min(until_us, last_us + now_us - since_us))
            return
        lane = flows[free[0]]
        self.open(lane)
        if len(parked) > 1:
            self.lent[blocker] = (lane, free[0][1], now_us)
            self.waits[blocker] = last_us + LOOK_US
        else:
            self.waits.pop(blocker, None)
            self.lent.pop(blocker, None)

    def is_still_lent(self, blocker, now_us, last_us):
        lent = self.lent.get(blocker, (None,))
        lane = lent[0]
        if lane is None:
            return False
        if self.held_until(self.flow(lane.head)) is None:
            self.waits[blocker] = last_us + max(LOOK_US, now_us - lent[2])
            return True
        self.close(lane)
        lane.blocker = blocker
        self.lent[blocker] = (None, lent[1], 0)
        return False

    def due(self, now_us, last_us, most):
        times = [(at, blocker) for blocker, at in self.waits.items()]
        for lane in self.lanes.values():
            at = lane.skip_us if lane.free_us is None else lane.free_us
            if at is not None:
                times.append((at, b'\0' + lane.key))
        due = sorted(time for time in times if time[0] <= last_us)[:most]
        for _, blocker in due:
            limit = self.limit(blocker)
            opens_us = limit and self.opens_at(limit, blocker, 1, now_us)
            if not limit:
                lane = self.lanes[blocker[1:]]
                lane.holder = lane.skip_us = lane.free_us = None
                lane.more = True
                lane.head = lane.first()
                if lane.head:
                    self.stand(lane, now_us)
                else:
                    self.drop(lane)
            elif self.is_still_lent(blocker, now_us, last_us):
                continue
            elif opens_us > last_us:
                self.waits[blocker] = opens_us
            elif limit in self.of_flows():
                self.go_on(blocker)
            else:
                self.lend(blocker, now_us, last_us)
        return len(due)

    def go_on(self, blocker):
        flow = blocker[1:]
        del self.waits[blocker]
        if flow in self.open_flows():
            self.opened(flow, False)

    def refused(self, message, units, now_us, last_us):
        slot_us, worst = now_us, None
        for limit in self.keyed() + self.of_flows():
            blocker = limit.id + message.key(limit.per)
            opens_us = self.opens_at(limit, blocker, units, now_us)
            if opens_us <= last_us:
                slot_us = max(slot_us, opens_us)
            elif worst is None or opens_us > worst[0]:
                worst = opens_us, blocker
        return slot_us, worst

    def wide(self, units, now_us):
        limits = [limit for limit in self.s.limits if not limit.per]
        return max([now_us] + [self.opens_at(limit, limit.id + NONE, units, now_us) for limit in limits])

    def park(self, lane, worst, now_us, last_us):
        lane.blocker = worst[1]
        self.lents_come_back(lane, lane.head, now_us, last_us, True)
        if not self.is_lent(worst[1]):
            self.waits[worst[1]] = worst[0]

    def promote(self, now_us, most):
        self.due_later.sort(key=lambda each: each[:2])
        due = [each for each in self.due_later if each[0] <= now_us // 1000][:most]
        for each in due:
            self.due_later.remove(each)
            self.enter(each[2], now_us)
        more = due and self.due_later and self.due_later[0][0] <= now_us // 1000
        return self.due_later[0][0] if more else None

    def claim(self, wanted, now_us):
        quotas = [limit.b * MINUTE_US - 1 for limit in self.s.limits if limit.kind == 'q']
        last_us = min([now_us + self.s.horizon_us] + quotas)
        budget, taken, code = 32 + wanted, [], 0
        self.refusals, self.returns = {}, {}
        not_from_ms = self.promote(now_us, budget) if self.s.order_by else None
        moved = self.due(now_us, last_us, budget)
        while len(taken) < wanted:
            if self.wide(1, now_us) > last_us:
                code = 1
                break
            # Only what a blocker lends within this very claim comes due while it runs.
            if self.keyed() or self.of_flows():
                moved += self.due(now_us, last_us, budget - moved) if budget > moved else 0
            lane = self.choose()
            if lane is None and max(self.refusals.values(), default=0) >= 8:
                self.refusals = {flow: n for flow, n in self.refusals.items() if n < 8}
                lane = self.choose()
            if lane is None:
                code = 2
                break
            message = lane.head
            if not_from_ms and lane.is_ordered and not message.begun and message.due_ms >= not_from_ms:
                code = 4
                break
            slot_us, worst = self.refused(message, message.cost, now_us, last_us)
            if worst:
                moved += 1
                if self.is_of_flow(worst):
                    self.hold(self.flow(message), worst)
                else:
                    self.close(lane)
                    self.park(lane, worst, now_us, last_us)
                    self.refusals[self.flow(message)] = self.refusals.get(self.flow(message), 0) + 1
                if moved >= budget:
                    break
                continue
            wide_us = self.wide(message.cost, now_us)
            if wide_us > last_us:
                code = 1
                break
            self.take(lane, message, max(slot_us, wide_us), now_us, last_us, taken)
        if moved >= budget:
            code = 3
        if code == 2:
            self.virtual, self.tags = 0, {}
        flows = self.open_flows()
        for flow in [f for f in self.tags if f not in flows and not 0 < self.ahead(self.tags[f]) < self.s.wrap / 2]:
            del self.tags[flow]
        return code, taken, moved

    def is_of_flow(self, worst):
        return self.limit(worst[1]) in self.of_flows()

    def take(self, lane, message, slot_us, now_us, last_us, taken):
        held = []
        for limit in self.s.limits:
            blocker = limit.id + message.key(limit.per)
            self.take_units(limit, blocker, slot_us, message.cost)
            held.append((limit, blocker, limit.b))
        self.leased[message.ulid] = held
        taken.append((message.ulid, slot_us))
        self.move_tag(self.flow(message), self.share(self.flow(message), message.cost))
        lane.messages.remove(message)
        if lane.is_ordered:
            self.close(lane)
            lane.head, lane.holder = None, message
            self.lents_come_back(lane, message, now_us)
        elif not lane.messages:
            self.close(lane)
            self.lents_come_back(lane, message, now_us)
            self.drop(lane)
        else:
            _, worst = self.refused(message, 1, now_us, last_us)
            if worst and self.is_of_flow(worst):
                lane.head = lane.first()
                self.lents_come_back(lane, message, now_us)
                self.hold(self.flow(message), worst)
            elif worst:
                self.close(lane)
                lane.head = lane.first()
                self.park(lane, worst, now_us, last_us)
            else:
                lane.head = lane.first()
                self.lents_come_back(lane, message, now_us)
