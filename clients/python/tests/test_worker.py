"""The worker: claims, renews, settles and stops; against a real queue with ``type = "pull"``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, config
from support import Between, Daemon, Downstream, problem, until

from tidegate import (
    AsyncTidegate,
    ClaimedMessage,
    Dead,
    NotFound,
    Release,
    Repeats,
    Retry,
    Tidegate,
    Worker,
    settlement,
)

PROGRAM = """
import sys, time
from tidegate import ClaimedMessage, Tidegate, Worker

def handle(message: ClaimedMessage) -> object:
    print("began", flush=True)
    time.sleep(message.payload["takes_s"])
    return {"done": message.payload}

Worker(Tidegate(), "work", handle, concurrency=4, lease_s=2.0, drain_s=float(sys.argv[1])).run()
print("ended", flush=True)
"""


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """The worker in a thread of its own, stopped at the end."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


def final(client: Tidegate, message_id: str) -> Any:
    return client.wait_until_final(message_id, timeout_s=30)


@pytest.fixture(autouse=True)
def _no_message_is_left(client: Tidegate) -> Iterator[None]:
    yield
    for queue in ("work", "print"):
        until(lambda it=queue: client.queue(it).counts["leased"] == 0, "no message is held")  # type: ignore[misc]
        for message in list(client.messages(queue, state=["scheduled", "ready"])):
            client.cancel(message.id)


def test_claim_and_settle_by_hand(client: Tidegate) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-A": "1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    sent = client.send("work", {"page": 1}, labels={"a": "b"}, headers=headers)
    (claimed,) = client.claim("work", wait_s=10, lease="20s")
    assert claimed.headers["traceparent"].split("-")[1] == trace
    assert (claimed.id, claimed.attempt, claimed.payload) == (sent.id, 1, {"page": 1})
    assert claimed.labels == {"a": "b"}
    renew, done = settlement(claimed, "renew", lease="1m"), settlement(claimed, "delivered", result=[1])
    verdicts = client.settle("work", [renew, done, done, {"id": "x"}])
    assert [each.verdict for each in verdicts] == ["ok", "ok", "already", "invalid"]
    assert verdicts[3].problem is not None
    assert final(client, sent.id).result.body == "[1]"
    assert client.claim("work") == []


async def test_claim_and_settle_in_an_event_loop(async_client: AsyncTidegate) -> None:
    sent = await async_client.send("print", b"\x00\x01")
    (claimed,) = await async_client.claim("print", wait_s=10)
    assert claimed.payload == b"\x00\x01"
    verdicts = await async_client.settle("print", [settlement(claimed, "dead", detail="no paper")])
    assert verdicts[0].verdict == "ok"
    assert (await async_client.get(sent.id)).reason == "no paper"


def test_every_end_of_a_handler(client: Tidegate) -> None:
    said: dict[str, Callable[[ClaimedMessage], Any]] = {}

    def handle(message: ClaimedMessage) -> Any:
        return said[message.id](message) if message.attempt == 1 else {"attempt": message.attempt}

    def raises(error: BaseException) -> Callable[[ClaimedMessage], Any]:
        def handler(_: ClaimedMessage) -> Any:
            raise error

        return handler

    released: list[str] = []

    def release_once(message: ClaimedMessage) -> Any:
        if not released:
            released.append(message.id)
            raise Release
        return "second"

    ends: list[Callable[[ClaimedMessage], Any]] = [
        lambda _: {"printed": True},
        raises(ValueError("a bug")),
        raises(Retry("busy", delay="10ms")),
        raises(Dead("no such page")),
        release_once,
        lambda _: None,
        lambda _: object(),
        raises(SystemExit(3)),
        raises(ValueError("\ud800" + "日本" * 5_000)),
        lambda _: "x" * 400_000,
    ]
    client.pause("work")
    ids = [client.send("work", n).id for n in range(len(ends))]
    said.update(zip(ids, ends, strict=True))
    with running(Worker(client, "work", handle, concurrency=5, wait_s=1)):
        client.resume("work")
        done = [final(client, each) for each in ids]
    assert [each.state for each in done] == ["delivered"] * 3 + ["dead"] + ["delivered"] * 6
    assert [each.attempts for each in done] == [1, 2, 2, 1, 1, 1, 1, 2, 2, 1]
    assert done[0].result.body == '{"printed": true}' or done[0].result.body == '{"printed":true}'
    assert done[3].reason == "no such page"
    errors = [client.attempts(each)[0].error for each in (ids[1], ids[2], ids[7])]
    assert errors == ["ValueError: a bug", "busy", "HandlerEnded: SystemExit: 3"]


def test_a_lease_is_renewed_while_the_handler_works(client: Tidegate) -> None:
    sent = client.send("work", 1)
    shown: list[Any] = []

    def handle(message: ClaimedMessage) -> None:
        # Longer than two leases, by what the daemon shows.
        until(lambda: time.time() > message.lease_until.timestamp() + 1.2, "the first lease would be over")
        shown.append(client.get(message.id))

    with running(Worker(client, "work", handle, lease_s=1.0, wait_s=1)):
        done = final(client, sent.id)
    assert (done.state, done.attempts, done.rescues) == ("delivered", 1, 0)
    assert shown[0].state == "leased"


async def test_a_coroutine_that_lost_its_message_is_cancelled(client: Tidegate, between: Between) -> None:
    sent = client.send("work", 1)
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(_: ClaimedMessage) -> None:
        if not began.is_set():
            began.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

    async with AsyncTidegate(between.url, repeats=QUICK) as through:
        worker = Worker(through, "work", handle, lease_s=1.0, wait_s=1)
        task = asyncio.create_task(worker.run_async())
        await asyncio.wait_for(began.wait(), 20)
        # Nothing of the worker arrives until another one has the message.
        between.otherwise = problem(503, "draining")
        claimed = await asyncio.to_thread(client.claim, "work", wait_s=30)
        assert [(each.id, each.attempt) for each in claimed] == [(sent.id, 2)]
        between.otherwise = "pass"
        await asyncio.wait_for(cancelled.wait(), 20)
        assert client.settle("work", [settlement(claimed[0], "delivered")])[0].verdict == "ok"
        worker.stop()
        await asyncio.wait_for(task, 30)
    assert client.get(sent.id).rescues == 1


def test_work_of_many_is_done_once(client: Tidegate) -> None:
    label = uuid.uuid4().hex
    seen: list[str] = []
    ids = [client.send("work", n, labels={"run": label}).id for n in range(60)]
    with running(Worker(client, "work", lambda it: seen.append(it.id), concurrency=8, wait_s=1)):
        for each in ids:
            assert final(client, each).state == "delivered"
    assert sorted(seen) == sorted(ids)


def test_a_worker_outlives_a_daemon_that_is_killed(folder: Path, downstream: Downstream) -> None:
    daemon = Daemon(folder, config(downstream.url)).start()
    with Tidegate(daemon.url, repeats=Repeats(deadline_s=60, initial_s=0.05, wait_max_s=0.2)) as it:
        inside, go_on = threading.Event(), threading.Event()

        def handle(_: ClaimedMessage) -> str:
            inside.set()
            assert go_on.wait(30)
            return "done"

        with running(Worker(it, "work", handle, lease_s=20, wait_s=1)):
            first = it.send("work", 1)
            assert inside.wait(20)
            daemon.kill()
            go_on.set()
            daemon.start()
            assert final(it, first.id).attempts == 1
            assert final(it, it.send("work", 2).id).state == "delivered"
        daemon.stop()


def program(daemon: Daemon, folder: Path, drain_s: float) -> subprocess.Popen[str]:
    (folder / "worker.py").write_text(PROGRAM)
    return subprocess.Popen(
        [sys.executable, str(folder / "worker.py"), str(drain_s)],
        env={**os.environ, "TIDEGATE_URL": daemon.url},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_sigterm_lets_the_handler_finish(daemon: Daemon, client: Tidegate, folder: Path) -> None:
    process = program(daemon, folder, 30)
    assert process.stdout is not None
    sent = client.send("work", {"takes_s": 3})
    assert process.stdout.readline() == "began\n"
    process.send_signal(signal.SIGTERM)
    # What comes now is nobody's.
    later = client.send("work", {"takes_s": 0})
    assert process.wait(20) == 0
    assert process.stdout.read() == "ended\n"
    done = client.get(sent.id)
    assert (done.state, done.attempts) == ("delivered", 1)
    assert client.get(later.id).state in ("ready", "scheduled")
    process.stdout.close()


def test_a_second_sigterm_and_the_drain_end_it(daemon: Daemon, client: Tidegate, folder: Path) -> None:
    for drain_s, signals in ((30.0, 2), (0.2, 1)):
        process = program(daemon, folder, drain_s)
        assert process.stdout is not None
        sent = client.send("work", {"takes_s": 600})
        assert process.stdout.readline() == "began\n"
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        assert process.wait(10) == 0
        # Its thread may still have been at work: the lease decides, and the next one takes it.
        until(lambda it=sent.id: client.get(it).state != "leased", "the lease is over")  # type: ignore[misc]
        client.cancel(sent.id)
        process.stdout.close()


def test_an_idle_worker_stops_at_once(client: Tidegate) -> None:
    with running(Worker(client, "print", lambda _: None, wait_s=60)):
        sent = client.send("print", 1)
        assert final(client, sent.id).state == "delivered"
        began = time.monotonic()
    assert time.monotonic() - began < 5


async def test_coroutines_are_cancelled_after_the_drain(async_client: AsyncTidegate) -> None:
    sent = await async_client.send("work", 1)
    began = asyncio.Event()

    async def handle(_: ClaimedMessage) -> None:
        began.set()
        await asyncio.sleep(600)

    worker = Worker(async_client, "work", handle, drain_s=0.1, wait_s=1)
    task = asyncio.create_task(worker.run_async())
    await asyncio.wait_for(began.wait(), 20)
    worker.stop()
    await asyncio.wait_for(task, 20)
    assert "stopped" in ((await async_client.attempts(sent.id))[0].error or "")


async def test_a_cancelled_worker_gives_back_what_it_has(async_client: AsyncTidegate) -> None:
    sent = await async_client.send("work", 1)
    began = asyncio.Event()

    async def handle(_: ClaimedMessage) -> None:
        began.set()
        await asyncio.sleep(600)

    task = asyncio.create_task(Worker(async_client, "work", handle, wait_s=1).run_async())
    await asyncio.wait_for(began.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await async_client.attempts(sent.id))[0].outcome == "retry"


def test_trouble_while_claiming_and_settling(
    client: Tidegate, between: Between, caplog: pytest.LogCaptureFixture
) -> None:
    sent = [client.send("work", n).id for n in range(3)]
    between.steps = ["cut", problem(503, "store-unavailable"), "pass", "lose", problem(503, "draining")]
    with caplog.at_level(logging.WARNING), Tidegate(between.url, repeats=QUICK) as it:  # noqa: SIM117
        with running(Worker(it, "work", lambda _: None, concurrency=3, wait_s=1)):
            for each in sent:
                assert final(client, each).attempts == 1
    assert "no messages could be claimed from work" in caplog.text


def test_a_worker_without_a_queue_says_so(client: Tidegate) -> None:
    with pytest.raises(NotFound, match="nothing"):
        Worker(client, "nothing", lambda _: None).run()
    with pytest.raises(Exception, match="409"):
        Worker(client, "null", lambda _: None).run()
    for odd in ({"concurrency": 0}, {"concurrency": 1001}, {"lease_s": 0.1}):
        with pytest.raises(ValueError, match="give"):
            Worker(client, "work", lambda _: None, **odd)
