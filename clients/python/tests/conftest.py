"""One daemon for all tests that do not break it, and a client of each kind."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support import Between, Daemon, Downstream

from tidegate import AsyncTidegate, Repeats, Tidegate

QUICK = Repeats(deadline_s=20.0, initial_s=0.02, wait_max_s=0.2)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET = "a secret of plain words"


def config(downstream: str) -> str:
    """The queues that the tests speak of."""
    return f"""
callback_hosts = ["127.0.0.1"]
[queues.sms]
retry = {{ max_attempts = 1 }}
[queues.sms.downstream]
url = "{downstream}/sms"
signing_secret = "{SECRET}"
[queues.rotated.downstream]
url = "{downstream}/rotated"
signing_secrets = ["{NEXT_SECRET}", "{SECRET}"]
[queues.unsigned.downstream]
url = "{downstream}/unsigned"
[queues.hooks]
downstream = {{ url = "message", hosts = ["{downstream.removeprefix("http://")}"] }}
[queues.null]
retry = {{ max_attempts = 3 }}
[queues.null.downstream]
type = "null"
[queues.small]
backlog = {{ max_messages = 2 }}
[queues.small.downstream]
type = "pull"
[queues.scarce]
limits = [{{ quota = "10/day" }}]
[queues.scarce.downstream]
type = "null"
[queues.night]
window = {{ time_zone = "UTC", open = [{{ days = "mon-sun", from = "00:00", to = "24:00" }}] }}
[queues.night.downstream]
type = "null"
[queues.other.downstream]
type = "null"
[queues.work]
lease = "5s"
retry = {{ initial = "50ms", jitter = 0.0 }}
[queues.work.downstream]
type = "pull"
[queues.print.downstream]
type = "pull"
[topics.order_paid]
queues = ["null", "other"]
"""


@pytest.fixture(scope="session")
def downstream() -> Iterator[Downstream]:
    it = Downstream()
    yield it
    it.close()


@pytest.fixture(autouse=True)
def _nothing_received(downstream: Downstream) -> None:
    downstream.received.clear()
    downstream.status = 200


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one, as a socket stands in it."""
    with tempfile.TemporaryDirectory(prefix="tg") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def daemon(downstream: Downstream) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="tg") as name:
        it = Daemon(Path(name), config(downstream.url)).start()
        yield it
        it.stop()


@pytest.fixture
def between(daemon: Daemon) -> Iterator[Between]:
    it = Between(daemon.url)
    yield it
    it.close()


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Tidegate]:
    with Tidegate(daemon.url, repeats=QUICK) as it:
        yield it


@pytest.fixture
async def async_client(daemon: Daemon) -> AsyncIterator[AsyncTidegate]:
    async with AsyncTidegate(daemon.url, repeats=QUICK) as it:
        yield it


@pytest.fixture
def shaky(between: Between) -> Iterator[Tidegate]:
    """A client whose requests go through ``between``."""
    with Tidegate(between.url, repeats=QUICK) as it:
        yield it
