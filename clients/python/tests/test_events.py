"""The stream of events: what it says, and that nothing is missed where the connection is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from conftest import QUICK, config
from support import Between, Daemon, Downstream

from tidegate import (
    AsyncTidegate,
    ConnectionFailed,
    Gap,
    MessageChanged,
    NotFound,
    QueueChanged,
    Ready,
    Repeats,
    Tidegate,
    TooManyListeners,
    UnexpectedAnswer,
)
from tidegate._exchange import Options
from tidegate._tail import Tail


def test_changes_arrive(client: Tidegate) -> None:
    events = client.events(queues=["null", "night"])
    assert next(events) == Ready()
    sent = client.send("null", 1)
    seen = [next(events) for _ in range(2)]
    assert all(isinstance(each, MessageChanged) and each.id == sent.id for each in seen)
    client.pause("night", for_="1m")
    paused = next(each for each in events if isinstance(each, QueueChanged))
    assert (paused.queue, paused.change) == ("night", "paused")
    client.resume("night")
    events.close()  # type: ignore[attr-defined]


def test_nothing_is_missed_after_a_restart(folder: Path, downstream: Downstream) -> None:
    daemon = Daemon(folder, config(downstream.url)).start()
    with Tidegate(daemon.url, repeats=Repeats(deadline_s=60, initial_s=0.05, wait_max_s=0.2)) as it:
        events = it.events(queues=["null"], states=["delivered"])
        assert isinstance(next(events), Ready)
        first = it.send("null", 1).id
        assert [it.id for it in [next(events)] if isinstance(it, MessageChanged)] == [first]
        # The listener does not read while the daemon stops, and while more happens.
        daemon.stop()
        daemon.start()
        second = [it.send("null", n).id for n in range(5)]
        for each in second:
            assert it.wait_until_final(each, timeout_s=20).state == "delivered"
        seen: list[str] = []
        while len(seen) < 5:
            event = next(events)
            assert not isinstance(event, Gap)
            if isinstance(event, MessageChanged):
                seen.append(event.id)
        assert seen == second
        daemon.stop()


async def test_a_listener_in_an_event_loop_is_cancelled(async_client: AsyncTidegate) -> None:
    opened, seen = asyncio.Event(), asyncio.Queue[str]()

    async def listen() -> None:
        async for event in async_client.events(queues=["other"], states=["delivered"]):
            opened.set()
            if isinstance(event, MessageChanged):
                seen.put_nowait(event.id)

    listener = asyncio.create_task(listen())
    await asyncio.wait_for(opened.wait(), 20)
    sent = await async_client.send("other", 1)
    assert await asyncio.wait_for(seen.get(), 20) == sent.id
    listener.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listener
    assert (await async_client.get(sent.id)).state == "delivered"


def test_answers_that_are_no_stream(between: Between) -> None:
    with Tidegate(between.url, repeats=QUICK) as it:
        between.steps = [(503, {}, b""), (200, {"Content-Type": "text/html"}, b"<html>")]
        with pytest.raises(UnexpectedAnswer, match="text/html"):
            next(it.events())
        between.steps = [(404, {}, b"")]
        with pytest.raises(NotFound):
            next(it.events())
        stream = b'event: ready\ndata: {}\n\nevent: message\nid: 1\ndata: {"id": 7}\n\n'
        between.steps = [(200, {"Content-Type": "text/event-stream"}, stream)]
        events = it.events()
        assert isinstance(next(events), Ready)
        with pytest.raises(UnexpectedAnswer, match="cannot be read"):
            next(events)


def test_a_stream_that_ends_begins_again_with_the_last_id(between: Between) -> None:
    stream = b': listening\nid: 5-0\n\nevent: gap\ndata: {"detail": "some are gone"}\n\n'
    head = {"Content-Type": "text/event-stream; charset=utf-8"}
    between.steps = [(200, head, stream), "cut", (200, head, stream), (429, {"Retry-After": "600"}, b"")]
    with Tidegate(between.url, repeats=QUICK) as it:
        events = it.events()
        assert next(events) == Gap("some are gone")
        assert next(events) == Gap("some are gone")
        with pytest.raises(Exception, match="429"):
            next(events)
    assert [each.headers.get("Last-Event-ID") for each in between.requests] == [None, "5-0", "5-0", "5-0"]


def test_nobody_answers(between: Between) -> None:
    between.steps = ["cut"] * 100
    with Tidegate(between.url, repeats=Repeats(deadline_s=0.2)) as it, pytest.raises(ConnectionFailed):
        next(it.events())


def test_a_line_in_pieces_and_one_without_end() -> None:
    tail = Tail(Options.of("http://x", None, 1.0, Repeats()), [], [], None)
    whole = b'event: gap\r\nid: 9\r\ndata: {"detail": "\xc3\xa4"}\r\n\r\n'
    seen = [event for at in range(len(whole)) for event in tail.feed(whole[at : at + 1])]
    assert seen == [Gap("ä")]
    assert tail.last_id == "9"
    with pytest.raises(UnexpectedAnswer, match="does not end"):
        list(tail.feed(b"x" * 2_000_000))


def test_a_hundred_listeners_and_one(daemon: Daemon) -> None:
    with Tidegate(daemon.url, repeats=Repeats(deadline_s=0)) as it:
        import httpx

        with Tidegate(daemon.url, http_client=httpx.Client(limits=httpx.Limits(max_connections=200))) as many:
            open_streams = [many.events() for _ in range(100)]
            try:
                for each in open_streams:
                    assert isinstance(next(each), Ready)
                with pytest.raises(TooManyListeners):
                    next(it.events())
            finally:
                for each in open_streams:
                    each.close()  # type: ignore[attr-defined]
