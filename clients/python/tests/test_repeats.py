"""What is repeated, how often, and what never is; with a real server between the client and the daemon."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from conftest import QUICK, config
from support import Between, Daemon, Downstream, free_port, problem

from tidegate import (
    AsyncTidegate,
    BatchInterrupted,
    ConnectionFailed,
    Draining,
    InvalidRequest,
    NewMessage,
    Repeats,
    StoreUnavailable,
    Tidegate,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
)
from tidegate import _calls as calls
from tidegate._exchange import Exchange, Options
from tidegate.repeats import Patience, retry_after_s

HTML = (503, {"Content-Type": "text/html"}, b"<h1>Service Unavailable</h1>")


def ids_of(client: Tidegate, key: str | None, queue: str = "null") -> list[str]:
    assert key is not None
    return [each.id for each in client.messages(queue, idempotency_key=key)]


@pytest.mark.parametrize(
    "step",
    [problem(503, "store-unavailable"), problem(503, "draining"), problem(429, "backlog-full"), HTML, "cut", "lose",
     (502, {}, b""), (504, {}, b"{}"), problem(503, "store-full", retry_after_s=0)],
    ids=str,
)  # fmt: skip
def test_a_message_is_taken_once(shaky: Tidegate, between: Between, client: Tidegate, step: str) -> None:
    between.steps = [step, step]
    sent = shaky.send("null", {"n": 1})
    assert len(between.requests) == 3
    assert len({each.body for each in between.requests}) == 1
    assert ids_of(client, sent.idempotency_key) == [sent.id]
    assert sent.duplicate == (step == "lose")


async def test_a_message_is_taken_once_in_an_event_loop(between: Between, client: Tidegate) -> None:
    async with AsyncTidegate(between.url, repeats=QUICK) as shaky:
        between.steps = ["lose", problem(503, "store-unavailable"), "cut"]
        sent = await shaky.send("null", {"n": 1})
    assert sent.duplicate
    assert ids_of(client, sent.idempotency_key) == [sent.id]


def test_a_published_event_is_taken_once(shaky: Tidegate, between: Between) -> None:
    between.steps = ["lose"]
    assert shaky.publish("order_paid", {"n": 1}).duplicate


def test_retry_after_is_obeyed(shaky: Tidegate, between: Between) -> None:
    between.steps = [problem(503, "draining", retry_after_s=1)]
    began = time.monotonic()
    shaky.send("null", 1)
    assert time.monotonic() - began >= 1.0


def test_a_retry_after_beyond_the_deadline_is_told_at_once(between: Between) -> None:
    between.steps = [problem(429, "backlog-full", retry_after_s=600)]
    began = time.monotonic()
    with Tidegate(between.url) as it, pytest.raises(TooManyRequests) as refused:
        it.send("null", 1)
    assert refused.value.retry_after_s == 600
    assert time.monotonic() - began < 5
    assert refused.value.idempotency_key


def test_the_deadline_ends_the_repeats(between: Between) -> None:
    between.steps = [HTML] * 1_000
    with Tidegate(between.url, repeats=Repeats(deadline_s=0.3, initial_s=0.02)) as it, pytest.raises(Unavailable):
        it.send("null", 1)
    assert 2 < len(between.requests) < 50
    between.requests.clear()
    with Tidegate(between.url, repeats=Repeats(deadline_s=0)) as it, pytest.raises(Unavailable):
        it.send("null", 1)
    assert len(between.requests) == 1


def test_what_could_be_done_twice_is_not_repeated(shaky: Tidegate, between: Between, client: Tidegate) -> None:
    sent = client.send("null", 1, delay="1h")
    client.cancel(sent.id)
    for step in ("lose", problem(503, "store-unavailable"), HTML):
        client.cancel(sent.id) if step == "lose" else None
        between.steps, between.requests = [step], []
        with pytest.raises((ConnectionFailed, StoreUnavailable, Unavailable)):
            shaky.requeue(sent.id)
        assert len(between.requests) == 1, step
    between.steps = ["cut"]
    with pytest.raises(ConnectionFailed) as failed:
        shaky.send("null", 1, idempotency_key=None)
    assert failed.value.may_have_arrived
    assert failed.value.idempotency_key is None


def test_what_was_surely_refused_is_repeated(shaky: Tidegate, between: Between, client: Tidegate) -> None:
    sent = client.send("null", 1, delay="1h")
    between.steps = [problem(503, "draining"), problem(429, "too-many-listeners")]
    assert shaky.run(sent.id).id == sent.id
    assert len(between.requests) == 3


def test_faults_are_not_repeated(shaky: Tidegate, between: Between) -> None:
    with pytest.raises(InvalidRequest):
        shaky.send("null", 1, priority=10)
    between.steps = [problem(500, "internal")]
    with pytest.raises(Exception, match="500 internal"):
        shaky.send("null", 1)
    assert len(between.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [(200, {}, b""), (201, {}, b"<html>"), (200, {}, b"[]"), (201, {}, b'{"id": 5}'), (200, {}, b"null"),
     (302, {"Location": "/elsewhere"}, b""), (418, {}, b"teapot"), (200, {}, b"\xff\xfe"), (200, {}, b"[" * 100_000),
     (200, {}, b'{"id":"a","queue":"b","state":"ready","content_type":"c","created_at":"x","due_at":"y"}')],
    ids=lambda it: str(it)[:40],
)  # fmt: skip
def test_odd_answers(shaky: Tidegate, between: Between, answer: tuple[int, dict[str, str], bytes]) -> None:
    between.steps = [answer]
    with pytest.raises(UnexpectedAnswer) as odd:
        shaky.send("null", 1)
    assert odd.value.status == answer[0]
    assert odd.value.idempotency_key


def test_nobody_is_there() -> None:
    with (
        Tidegate(f"http://127.0.0.1:{free_port()}", repeats=Repeats(deadline_s=0.1)) as it,
        pytest.raises(ConnectionFailed, match="tidegate health") as failed,
    ):
        it.queues()
    assert not failed.value.may_have_arrived


def test_a_batch_repeats_what_may_be_missing(shaky: Tidegate, between: Between, client: Tidegate) -> None:
    messages = [NewMessage(n, idempotency_key=None if n == 2 else f"{time.time_ns()}-{n}") for n in range(4)]
    unknown = json.loads(problem(503, "store-unavailable")[2])
    results = [{"index": 0, "id": "null_1"}, *({"index": n, "problem": unknown} for n in (1, 2, 3))]
    partly = json.dumps({"accepted": 1, "rejected": 3, "results": results}).encode()
    # The second message's key is unknown to the daemon, so that it may go again; the third has none.
    between.steps = [(200, {"Content-Type": "application/json"}, partly), "pass"]
    done = shaky.send_many("null", messages)
    assert [each["payload"] for each in json.loads(between.requests[1].body)] == [1, 3]
    assert [each.index for each in done.rejected] == [2]
    assert isinstance(done.rejected[0].problem, StoreUnavailable)
    assert ids_of(client, messages[3].idempotency_key) == [done.results[3].id]


def test_a_batch_that_is_interrupted_goes_on(between: Between) -> None:
    messages = [NewMessage("x" * 1000, delay="1h") for _ in range(10_001)]
    with Tidegate(between.url, repeats=Repeats(deadline_s=0)) as it:
        between.steps = ["pass", "pass", "lose"]
        with pytest.raises(BatchInterrupted) as ended:
            it.send_many("other", messages)
        taken = len(ended.value.results)
        assert 0 < taken < 10_001
        again = it.send_many("other", messages)
    assert not again.rejected
    assert sum(each.duplicate for each in again.results) > taken
    assert isinstance(ended.value.__cause__, ConnectionFailed)


@pytest.mark.parametrize("count", [3, 10_001])
async def test_a_frozen_daemon_ends_a_batch_in_the_time_that_was_set(daemon: Daemon, count: int) -> None:
    messages = [NewMessage({"n": n, "x": "x" * 300}) for n in range(count)]
    repeats = Repeats(deadline_s=1.5, initial_s=0.1, wait_max_s=0.2)
    with Tidegate(daemon.url, timeout_s=0.5, repeats=repeats) as it:
        with daemon.frozen():
            began = time.monotonic()
            with pytest.raises(BatchInterrupted) as ended:
                it.send_many("null", messages)
            async with AsyncTidegate(daemon.url, timeout_s=0.5, repeats=repeats) as other:
                with pytest.raises(BatchInterrupted):
                    await other.send_many("null", messages)
            took_s = time.monotonic() - began
        assert isinstance(ended.value.__cause__, ConnectionFailed)
        assert ended.value.results == []
        # Each: the first try, the deadline, and a try that was begun within it.
        assert 2 * 1.5 < took_s < 2 * (0.5 + 1.5 + 0.5) + 2.0
    with Tidegate(daemon.url, repeats=QUICK) as it:
        assert len(it.send_many("null", messages).accepted) == count


@pytest.mark.parametrize(("timeout_s", "expected"), [(None, [60.0, 10.0, 30.0]), (2.0, [2.0, 2.0, 22.0])])
def test_a_timeout_holds_for_every_request(timeout_s: float | None, expected: list[float]) -> None:
    options = Options.of("http://127.0.0.1:1", None, timeout_s, None)
    asked: list[calls.Call[Any]] = [
        calls.send_batch("null", [], is_repeatable=True),
        calls.queues(),
        calls.get("a", wait_s=20.0, view="basic"),
    ]
    assert [Exchange(each, options).request()["timeout"].read for each in asked] == expected


def test_an_answer_that_skips_messages(shaky: Tidegate, between: Between) -> None:
    between.steps = [(200, {}, b'{"accepted":0,"rejected":0,"results":[{"index":7,"id":"x"}]}')]
    with pytest.raises(BatchInterrupted, match="says nothing of 1"):
        shaky.send_many("null", [NewMessage(1)])


def test_the_daemon_is_killed_during_a_wait(folder: Path, downstream: Downstream) -> None:
    daemon = Daemon(folder, config(downstream.url)).start()
    with Tidegate(daemon.url, repeats=Repeats(deadline_s=60, initial_s=0.05, wait_max_s=0.2)) as it:
        sent = it.send("null", 1, delay="4s")
        states: list[str] = []
        waiting = threading.Thread(target=lambda: states.append(it.wait_until_final(sent.id, timeout_s=60).state))
        waiting.start()
        daemon.kill()
        daemon.start()
        waiting.join(60)
        assert states == ["delivered"]
        daemon.stop()


async def test_a_cancelled_task_leaves_the_client_whole(async_client: AsyncTidegate) -> None:
    sent = await async_client.send("null", 1, delay="1h")
    waiting = asyncio.create_task(async_client.wait_until_final(sent.id, timeout_s=60))
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await async_client.cancel(sent.id)).state == "cancelled"


def test_many_threads_share_a_client(shaky: Tidegate, between: Between) -> None:
    between.steps = ["lose", HTML, "cut"] * 10
    sent: list[str] = []
    threads = [threading.Thread(target=lambda: sent.append(shaky.send("null", 1).id)) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(set(sent)) == 20


def test_waits_grow_with_jitter_to_a_bound() -> None:
    lost = ConnectionFailed("x", may_have_arrived=True)
    for chance, expected in ((0.0, [1.0, 2.0, 4.0, 4.0]), (1.0, [0.5, 1.0, 2.0, 2.0])):
        patience = Patience(Repeats(deadline_s=100, initial_s=1.0, wait_max_s=4.0), chance=lambda it=chance: it)  # type: ignore[misc]
        assert [patience.wait_s(lost, 0.0) for _ in range(4)] == expected
    patience = Patience(Repeats(), chance=lambda: 1.0)
    assert 2.0 <= patience.wait_s(Draining(503, {}, 2.0), 0.0) <= 2.4


def test_retry_after_in_all_its_forms() -> None:
    now = datetime(2026, 11, 20, 12, 0, tzinfo=timezone.utc)
    assert retry_after_s("7", now) == 7.0
    assert retry_after_s("Fri, 20 Nov 2026 12:00:30 GMT", now) == 30.0
    assert retry_after_s("Fri, 20 Nov 2026 11:00:00 GMT", now) == 0.0
    for odd in (None, "", "soon", "-5", "9" * 40, "٣"):
        assert retry_after_s(odd, now) is None, odd
