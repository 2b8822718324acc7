"""Shows changes of state as they happen. End it with Ctrl-C.

python tail.py [QUEUE]...
"""

import asyncio
import sys

from tidegate import AsyncTidegate, Gap, MessageChanged, QueueChanged


async def main() -> None:
    async with AsyncTidegate() as tidegate:
        async for event in tidegate.events(queues=sys.argv[1:]):
            if isinstance(event, MessageChanged):
                print(f"{event.at:%T} {event.id} {event.state}", flush=True)
            elif isinstance(event, QueueChanged):
                print(f"{event.at:%T} queue {event.queue} {event.change}", flush=True)
            elif isinstance(event, Gap):
                print(f"changes may be missing: {event.detail}", flush=True)
            else:
                print("the stream is open", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
