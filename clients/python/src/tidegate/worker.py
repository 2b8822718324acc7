"""A worker: claims messages of a queue with ``type = "pull"``, does them, and stops when it is told to.

``_settling`` renews the leases and reports what became of the messages. Handlers that are functions run in
threads, handlers that are coroutines in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from tidegate import _calls as calls
from tidegate._settling import Held, Settling, lease_text
from tidegate._threads import in_thread
from tidegate._values import Duration
from tidegate.aio import AsyncTidegate
from tidegate.client import Tidegate
from tidegate.errors import ProblemError, TidegateError, TooManyRequests, Unavailable
from tidegate.models import ClaimedMessage

_log = logging.getLogger("tidegate.worker")

_DETAIL_BYTES_MAX = 1_000
_BREATH_S = 1.0
"""The wait after a claim that failed, beside the repeats of the client."""


class Retry(Exception):
    """Raised by a handler: try the message again, after ``delay`` or as its queue says."""

    def __init__(self, detail: str = "", *, delay: Duration | None = None) -> None:
        super().__init__(detail)
        self.delay = delay


class Dead(Exception):
    """Raised by a handler: the message will never succeed."""


class Release(Exception):
    """Raised by a handler: the work was not begun; give the message back, without an attempt."""


Handler = Callable[[ClaimedMessage], Any]


class Worker:
    """Does the messages of one queue until ``stop`` or SIGTERM.

    ``handler`` gets a ``ClaimedMessage``. What it returns is kept as the result of the message if it can be
    written as JSON. If it raises ``Retry``, ``Dead`` or ``Release``, that is done; any other exception is a
    retry. While it works, the lease is renewed. If another worker has the message all the same, a coroutine is
    cancelled, and ``is_lost`` says so to a function.
    """

    def __init__(
        self,
        client: Tidegate | AsyncTidegate,
        queue: str,
        handler: Handler,
        *,
        concurrency: int = 1,
        lease_s: float = 60.0,
        wait_s: float = 20.0,
        drain_s: float = 30.0,
    ) -> None:
        if not 1 <= concurrency <= calls.CLAIM_MAX:
            raise ValueError(f"concurrency is {concurrency}; give a number from 1 to {calls.CLAIM_MAX}")
        if lease_s < 1.0:
            raise ValueError(f"lease_s is {lease_s}; give at least 1 second")
        self._queue = queue
        self._handler = handler
        self._is_coroutine = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004
        )
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._wait_s = wait_s
        self._drain_s = drain_s
        repeats = client.options.repeats
        # What is done is reported as long as it may still count.
        patient = replace(
            repeats,
            deadline_s=max(repeats.deadline_s, lease_s),
            wait_max_s=min(repeats.wait_max_s, lease_s / 6.0),
        )
        self._options = replace(client.options, repeats=patient)
        self._settling = Settling(queue, lease_s)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stops = 0

    def run(self) -> None:
        """Works until ``stop``, SIGTERM or SIGINT. A second signal does not wait for handlers."""
        asyncio.run(self._run_with_signals())

    def stop(self) -> None:
        """Claims no more; ``run`` returns when the handlers have ended. May be called from any thread."""
        self._stops += 1
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._tell_stop)

    def is_lost(self, message: ClaimedMessage) -> bool:
        """Whether another worker has this message now, so that its handler should end."""
        held = self._settling.held.get(message.token)
        return held is None or held.is_lost

    async def _run_with_signals(self) -> None:
        loop = asyncio.get_running_loop()
        heard: list[signal.Signals] = []
        for each in (signal.SIGTERM, signal.SIGINT):
            # There are none in other threads, nor on every system.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(each, self.stop)
                heard.append(each)
        try:
            await self.run_async()
        finally:
            for each in heard:
                loop.remove_signal_handler(each)

    async def run_async(self) -> None:
        """Works within an event loop that runs already; hears no signals."""
        self._loop = asyncio.get_running_loop()
        self._stopping, self._hurried, self._freed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._running = 0
        self._tell_stop()
        url, options = self._options.url, self._options
        async with AsyncTidegate(
            url, token=options.token, timeout_s=options.timeout_s, repeats=options.repeats
        ) as client:
            settler = asyncio.create_task(self._settling.settle_all(client))
            renewer = asyncio.create_task(self._settling.renew_all(client))
            try:
                await self._claim_all(client)
                await self._drain()
            finally:
                await self._end(settler, renewer)
                self._loop = None

    def _tell_stop(self) -> None:
        if self._stops > 0:
            self._stopping.set()
        if self._stops > 1:
            self._hurried.set()

    # ── claim ────────────────────────────────────────────────────────────────────────────────────

    async def _claim_all(self, client: AsyncTidegate) -> None:
        while not self._stopping.is_set():
            free = self._concurrency - self._running
            if free == 0:
                self._freed.clear()
                await self._unless_stopped(self._freed.wait())
                continue
            claim = client.claim(self._queue, max_messages=free, wait_s=self._wait_s, lease=lease_text(self._lease_s))
            try:
                claimed = await self._unless_stopped(claim)
            except ProblemError as error:
                if not isinstance(error, (TooManyRequests, Unavailable)):
                    raise
                await self._breathe(error)
            except TidegateError as error:
                await self._breathe(error)
            else:
                for message in claimed or ():
                    self._take(message)

    async def _breathe(self, error: TidegateError) -> None:
        _log.warning("no messages could be claimed from %s: %s", self._queue, error)
        await self._unless_stopped(asyncio.sleep(_BREATH_S))

    async def _unless_stopped(self, what: Coroutine[Any, Any, Any]) -> Any:
        """What it gives, or None if the worker is stopped first. A claim that is dropped costs no attempt."""
        task = asyncio.ensure_future(what)
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            stopped.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    def _take(self, message: ClaimedMessage) -> None:
        held = self._settling.held[message.token] = Held(message, self._is_coroutine)
        if self._stopping.is_set():
            self._settling.say(held, calls.settlement(message, "release"))
            return
        self._running += 1
        held.task = asyncio.create_task(self._work(held))

    # ── work ─────────────────────────────────────────────────────────────────────────────────────

    async def _work(self, held: Held) -> None:
        message = held.message
        try:
            said = calls.settlement(message, "delivered", result=await self._handle(message))
        except Retry as wish:
            said = calls.settlement(message, "retry", detail=_detail(wish), delay=wish.delay)
        except Dead as wish:
            said = calls.settlement(message, "dead", detail=_detail(wish))
        except Release:
            said = calls.settlement(message, "release")
        except asyncio.CancelledError:
            said = calls.settlement(message, "retry", detail="the worker was stopped while it had the message")
        except Exception as error:
            _log.exception("the handler of %s failed; the message is tried again", message.id)
            said = calls.settlement(message, "retry", detail=_detail(error))
        finally:
            self._running -= 1
            self._freed.set()
        self._settling.say(held, said)

    async def _handle(self, message: ClaimedMessage) -> Any:
        if self._is_coroutine:
            return await self._handler(message)
        value = await in_thread(self._handler, message)
        return await value if isinstance(value, Awaitable) else value

    # ── the end ──────────────────────────────────────────────────────────────────────────────────

    async def _drain(self) -> None:
        tasks = [held.task for held in self._settling.held.values() if held.task is not None]
        if not tasks:
            return
        hurried = asyncio.ensure_future(self._hurried.wait())
        everything = asyncio.ensure_future(asyncio.wait(tasks))
        await asyncio.wait({everything, hurried}, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        for each in (hurried, everything):
            each.cancel()

    async def _end(self, settler: asyncio.Task[None], renewer: asyncio.Task[None]) -> None:
        """Settles what is done. A function that still works in its thread keeps its lease to the end of it."""
        tasks = [held.task for held in self._settling.held.values() if held.task is not None and not held.task.done()]
        if not self._is_coroutine:
            for held in self._settling.held.values():
                held.is_lost = held.is_lost or (held.task is not None and not held.task.done())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._settling.say_no_more()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(settler, timeout=max(self._drain_s, 1.0))
        renewer.cancel()
        await asyncio.gather(renewer, return_exceptions=True)


def _detail(error: BaseException) -> str | None:
    """What went wrong, in a text that goes on the wire."""
    said = str(error)
    if not isinstance(error, (Retry, Dead)):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return said.encode("utf-8", "replace")[:_DETAIL_BYTES_MAX].decode("utf-8", "ignore") or None
