"""Records as Tidegate stores them, and the structure of a queue as the scripts are told it."""
import hashlib, struct
from dataclasses import dataclass, field

NONE = bytes(8)
DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
MINUTE_US = 60_000_000


def hash8(text):
    return hashlib.sha256(text.encode()).digest()[:8]


def name2(name):
    return hashlib.sha256(name.encode()).digest()[:2] if name else b''


def ulid(time_ms, number):
    value, out = time_ms << 80 | number, []
    for _ in range(26):
        out.append(DIGITS[value & 31])
        value >>= 5
    return ''.join(reversed(out)).encode()


@dataclass
class Limit:
    id: bytes
    kind: str          # r, q, c
    per: str           # name of a label, or ''
    a: float           # period of a unit, us; units; calls
    b: float = 0       # burst; minute in which the period ends


@dataclass
class Structure:
    order_by: str = ''
    fair_by: str = ''
    levels: int = 1
    aging_ms: int = 0
    horizon_us: int = 0
    wrap: int = 2 ** 52
    limits: list = field(default_factory=list)

    def args(self, now_us):
        out = [now_us, self.horizon_us, self.levels, self.aging_ms, name2(self.order_by), name2(self.fair_by), self.wrap,
               len(self.limits)]
        for limit in self.limits:
            out += [limit.id, limit.kind, name2(limit.per), repr(limit.a), repr(limit.b)]
        return out


@dataclass
class Message:
    ulid: bytes
    level: int
    due_ms: int
    sequence: int
    cost: int
    labels: dict
    begun: bool = False

    def record(self, body=b'y' * 100):
        table = b''.join(name2(name) + hash8(value) for name, value in self.labels.items())
        fields = struct.pack('>HB', self.cost, len(self.labels)) + table
        head = struct.pack('>BBB', 3, 4, 5 + 16 * self.level) + self.due_ms.to_bytes(6, 'big') + bytes(6)
        head += self.sequence.to_bytes(6, 'big') + bytes(1)
        return head + struct.pack('>BH', 3, len(fields)) + fields + struct.pack('>H', 0) + body

    def key(self, name):
        return hash8(self.labels[name]) if name and name in self.labels else NONE

    @property
    def place(self):
        return (not self.begun, self.due_ms, self.sequence)
