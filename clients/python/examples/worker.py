"""Prints the pages of a pull queue. End it with Ctrl-C or SIGTERM: what it has begun is finished first.

python worker.py [QUEUE]
"""

import logging
import sys

from tidegate import ClaimedMessage, Dead, Tidegate, Worker


def handle(message: ClaimedMessage) -> dict[str, object]:
    page = message.payload.get("page") if isinstance(message.payload, dict) else None
    if page is None:
        raise Dead("the payload has no page")
    print(f"page {page}, attempt {message.attempt}", flush=True)
    return {"printed": page}


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    # Otherwise it writes a line for each claim and each renewal.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    queue = sys.argv[1] if len(sys.argv) > 1 else "print"
    Worker(Tidegate(), queue, handle, concurrency=4).run()


if __name__ == "__main__":
    main()
