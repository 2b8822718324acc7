"""Records and state entries as Tidegate stores them, and the structure of a queue as nodes tell it to the scripts."""
import hashlib, struct
from dataclasses import dataclass, field, replace

NONE = bytes(8)
DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
MINUTE_US = 60_000_000


def hash8(text):
    return hashlib.sha256(text.encode()).digest()[:8]


def name2(name):
    return hashlib.sha256(name.encode()).digest()[:2]


def ulid(time_ms, number):
    value, out = time_ms << 80 | number, []
    for _ in range(26):
        out.append(DIGITS[value & 31])
        value >>= 5
    return ''.join(reversed(out)).encode()


@dataclass
class Limit:
    name: str
    kind: str          # rate, quota or concurrency
    per: str = ''      # name of a label, or '': the queue as a whole
    period_us: float = 0
    burst: int = 1
    units: int = 0     # of a quota; calls of a concurrency
    by_message: bool = False
    period_ms: int = 0 # how long a period of a quota is

    def __hash__(self):
        return hash(self.name)

    @property
    def period(self):
        """A word for it."""
        return 'm' * (self.period_ms // 60_000)

    @property
    def said(self):
        """What a key is given of it at run time."""
        if self.kind == 'rate':
            return f'rate {self.period_us}'
        return f'quota {self.units} {self.period}' if self.kind == 'quota' else f'concurrency {self.units}'

    def given(self, own):
        """What it is for a key that was given this; something of another kind or period means nothing."""
        if not own or (own.kind, own.period_ms) != (self.kind, self.period_ms):
            return self
        return replace(self, period_us=own.period_us) if self.kind == 'rate' else replace(self, units=own.units)


@dataclass
class Structure:
    order_by: str = ''
    until_final: bool = False
    stall_ms: int = 0
    fair_by: str = ''
    levels: int = 1
    aging_ms: int = 0
    limits: list = field(default_factory=list)

    def lines(self):
        """As a node proposes it; '' where nothing of it needs lanes."""
        digits = lambda name: name2(name).hex()
        lines = ''
        keyed = [limit for limit in self.limits if limit.per]
        if not (self.order_by or self.fair_by or keyed or self.aging_ms):
            return ''
        if self.order_by:
            lines += f'order {digits(self.order_by)} {"final" if self.until_final else "accepted"} {self.stall_ms}\n'
        if self.fair_by:
            lines += f'fair {digits(self.fair_by)}\n'
        lines += f'levels {self.levels}\n'
        if self.aging_ms:
            lines += f'aging {self.aging_ms}\n'
        for limit in keyed:
            lines += f'limit {limit.kind} {digits(limit.per)} {limit.name}\n'
        return lines

    def boundaries_ms(self, limit, now_us):
        """The period in which the clock of the node lies, and the next one."""
        start = now_us // 1000 // limit.period_ms * limit.period_ms
        return start, start + limit.period_ms, start + 2 * limit.period_ms

    def keys_in_force(self, number, now_us, granted=None):
        text = f'{number}'
        keyed = [limit for limit in self.limits if limit.per]
        if keyed or granted:
            text += '\n'
        for limit in keyed:
            if limit.kind == 'rate':
                text += f'rate {limit.name} {limit.period_us} {limit.burst}\n'
            elif limit.kind == 'quota':
                text += 'quota {} {} {} {} {} {}\n'.format(limit.name, limit.units, *self.boundaries_ms(limit, now_us), limit.period)
            else:
                text += f'concurrency {limit.name} {limit.units}\n'
        if granted:
            text += 'slots ' + ' '.join(map(str, granted)) + '\n'
        return text

    def limit_lines(self, now_us):
        text = ''
        for limit in self.limits:
            unit = 'messages' if limit.by_message else 'calls'
            if limit.per:
                continue
            if limit.kind == 'rate':
                text += f'rate {limit.name} {unit} {limit.period_us} {limit.burst}\n'
            elif limit.kind == 'quota':
                text += 'quota {} {} {} {} {} {}\n'.format(limit.name, unit, limit.units, *self.boundaries_ms(limit, now_us))
        return text


@dataclass(eq=False)
class Message:
    ulid: bytes
    band: int
    due_ms: int
    sequence: int
    cost: int
    labels: dict
    expires_ms: int = 0
    state: str = 'r'   # s scheduled, r ready, L, U, A, D, X, E, C
    attempts: int = 0
    throttles: int = 0
    rescues: int = 0
    holds: int = 0
    first_ms: int = 0
    token: bytes = b''
    slot_us: int = 0

    def fields(self):
        """Cost and key table, as optional fields."""
        table = b''.join(name2(name) + hash8(value) for name, value in self.labels.items())
        presence = (1 if self.cost != 1 else 0) + (2 if self.labels else 0)
        fields = struct.pack('>H', self.cost) if self.cost != 1 else b''
        fields += bytes([len(self.labels)]) + table if self.labels else b''
        return struct.pack('>BH', presence, len(fields)) + fields if presence else b''

    def has(self, name):
        """A label with the empty value counts as no key."""
        return bool(name and self.labels.get(name))

    def key(self, name):
        return hash8(self.labels[name]) if self.has(name) else NONE

    @property
    def begun(self):
        return self.attempts > 0 or self.throttles > 0

    @property
    def place(self):
        """As bytes that are ordered as places are."""
        high = self.due_ms // 8 + (0 if self.begun else 1 << 39)
        low = self.due_ms % 8 * 2 ** 37 + self.sequence % 2 ** 37
        return high.to_bytes(5, 'big') + low.to_bytes(5, 'big')


STATE = '>Bc20s'


def read_state(raw):
    """State letter, attempts, throttles, rescues, due time, epoch and band of a state entry."""
    letter, token, band, epoch = raw[1:2].decode(), raw[2:22], raw[23] % 128, struct.unpack('>H', raw[24:26])[0]
    due_ms = int.from_bytes(raw[26:32], 'big')
    expires_ms = int.from_bytes(raw[32:38], 'big')
    attempts, throttles, holds, rescues = struct.unpack('>HIIB', raw[38:49])
    first_ms = int.from_bytes(raw[49:55], 'big')
    return dict(state=letter, token=token, band=band, epoch=epoch, due_ms=due_ms, expires_ms=expires_ms, attempts=attempts,
                throttles=throttles, holds=holds, rescues=rescues, first_ms=first_ms)
