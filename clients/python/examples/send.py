"""Sends one message, waits until it is delivered, and shows what became of it.

python send.py [QUEUE] [TEXT]
"""

import sys

from tidegate import Tidegate


def main() -> None:
    queue = sys.argv[1] if len(sys.argv) > 1 else "demo"
    text = sys.argv[2] if len(sys.argv) > 2 else "hello"
    with Tidegate() as tidegate:
        sent = tidegate.send(queue, {"text": text})
        print(f"{sent.id} is stored")
        done = tidegate.wait_until_final(sent.id, timeout_s=30)
        print(f"{done.id} is {done.state} after {done.attempts} attempts")


if __name__ == "__main__":
    main()
