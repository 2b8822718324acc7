"""Hands over the lines of a file, or a thousand numbers, and says which were refused.

    python send_many.py [QUEUE] [FILE.ndjson]

Each line is a payload in JSON. Run it again after an interruption: the keys are made of the lines, so that
none is taken twice.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tidegate import NewMessage, Tidegate


def messages() -> Iterator[NewMessage]:
    lines = Path(sys.argv[2]).read_text("utf-8").splitlines() if len(sys.argv) > 2 else map(str, range(1_000))
    for number, line in enumerate(lines):
        key = hashlib.sha256(f"{number} {line}".encode()).hexdigest()
        yield NewMessage(json.loads(line), idempotency_key=key)


def main() -> None:
    queue = sys.argv[1] if len(sys.argv) > 1 else "demo"
    with Tidegate() as tidegate:
        done = tidegate.send_many(queue, messages())
    for each in done.rejected:
        print(f"line {each.index + 1}: {each.problem}", file=sys.stderr)
    duplicates = sum(each.duplicate for each in done.accepted)
    print(f"{len(done.accepted)} taken, {duplicates} of them before, {len(done.rejected)} refused")


if __name__ == "__main__":
    main()
