"""A worker: claims messages of a queue with ``type = "pull"``, does them, and reports what became of them.

One loop claims, one renews the leases, one settles. Handlers that are functions run in threads, handlers
that are coroutines in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from tidegate import _calls as calls
from tidegate._threads import in_thread
from tidegate._values import Duration, encode
from tidegate.aio import AsyncTidegate
from tidegate.client import Tidegate
from tidegate.errors import ProblemError, TidegateError, TooManyRequests, Unavailable
from tidegate.models import ClaimedMessage, Verdict

_log = logging.getLogger("tidegate.worker")

_SETTLED_AT_ONCE = 100
_DETAIL_CHARS_MAX = 500
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


@dataclass
class _Held:
    """A message that this worker has, until its settlement was answered."""

    message: ClaimedMessage
    task: asyncio.Task[None] | None = None
    is_lost: bool = False


class Worker:
    """Does the messages of one queue until ``stop`` or SIGTERM.

    ``handler`` gets a ``ClaimedMessage``. What it returns is kept as the result of the message. If it raises
    ``Retry``, ``Dead`` or ``Release``, that is done; any other exception is a retry. While it works, the
    lease is renewed. If another worker has the message all the same, a coroutine is cancelled, and
    ``is_lost`` says so to a function.
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
        self._held: dict[str, _Held] = {}
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
        held = self._held.get(message.token)
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
        self._outbox: asyncio.Queue[tuple[_Held, dict[str, object]] | None] = asyncio.Queue()
        self._tell_stop()
        url, options = self._options.url, self._options
        async with AsyncTidegate(
            url, token=options.token, timeout_s=options.timeout_s, repeats=options.repeats
        ) as client:
            settler = asyncio.create_task(self._settle_all(client))
            renewer = asyncio.create_task(self._renew_all(client))
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
            claim = client.claim(
                self._queue, max_messages=free, wait_s=self._wait_s, lease=f"{self._lease_s * 1000:.0f}ms"
            )
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
        held = self._held[message.token] = _Held(message)
        if self._stopping.is_set():
            self._outbox.put_nowait((held, calls.settlement(message, "release")))
            return
        self._running += 1
        held.task = asyncio.create_task(self._work(held))

    # ── work ─────────────────────────────────────────────────────────────────────────────────────

    async def _work(self, held: _Held) -> None:
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
        if held.is_lost:
            self._held.pop(message.token, None)
        else:
            self._outbox.put_nowait((held, _sendable(said)))

    async def _handle(self, message: ClaimedMessage) -> Any:
        if self._is_coroutine:
            return await self._handler(message)
        value = await in_thread(self._handler, message)
        return await value if isinstance(value, Awaitable) else value

    # ── settle and renew ─────────────────────────────────────────────────────────────────────────

    async def _settle_all(self, client: AsyncTidegate) -> None:
        is_last = False
        while not is_last:
            taken = [await self._outbox.get()]
            while len(taken) < _SETTLED_AT_ONCE and not self._outbox.empty():
                taken.append(self._outbox.get_nowait())
            is_last = None in taken
            items = [each for each in taken if each is not None]
            if items:
                await self._settle(client, items)

    async def _settle(self, client: AsyncTidegate, items: list[tuple[_Held, dict[str, object]]]) -> None:
        try:
            verdicts = await client.settle(self._queue, [said for _, said in items])
        except ProblemError as error:
            if len(items) > 1 and error.status in (400, 413):
                for each in items:
                    await self._settle(client, [each])
                return
            held, said = items[0]
            if "result" in said and error.status in (400, 413):
                _log.error("the result of %s is not kept, since it is refused: %s", held.message.id, error)
                await self._settle(client, [(held, {k: v for k, v in said.items() if k != "result"})])
                return
            _log.error("%d messages could not be settled: %s", len(items), error)
        except TidegateError as error:
            _log.error("%d messages could not be settled, and will be handed out again: %s", len(items), error)
        else:
            for (held, said), verdict in zip(items, verdicts, strict=False):
                _report(held, said, verdict)
        for held, _ in items:
            self._held.pop(held.message.token, None)

    async def _renew_all(self, client: AsyncTidegate) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3.0)
            held = [each for each in self._held.values() if not each.is_lost]
            lease = f"{self._lease_s * 1000:.0f}ms"
            for at in range(0, len(held), calls.CLAIM_MAX):
                some = held[at : at + calls.CLAIM_MAX]
                items = [calls.settlement(each.message, "renew", lease=lease) for each in some]
                try:
                    verdicts = await client.settle(self._queue, items)
                except TidegateError as error:
                    _log.warning("%d leases could not be renewed: %s", len(items), error)
                    continue
                for each, verdict in zip(some, verdicts, strict=False):
                    self._renewed(each, verdict)

    def _renewed(self, held: _Held, verdict: Verdict) -> None:
        if verdict.verdict not in ("stale", "gone") or held.message.token not in self._held:
            return
        held.is_lost = True
        _log.warning("%s is %s: another worker has it now, or it is final", held.message.id, verdict.verdict)
        if self._is_coroutine and held.task is not None:
            held.task.cancel()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────

    async def _drain(self) -> None:
        tasks = [held.task for held in self._held.values() if held.task is not None]
        if not tasks:
            return
        hurried = asyncio.ensure_future(self._hurried.wait())
        everything = asyncio.ensure_future(asyncio.wait(tasks))
        await asyncio.wait({everything, hurried}, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        for each in (hurried, everything):
            each.cancel()

    async def _end(self, settler: asyncio.Task[None], renewer: asyncio.Task[None]) -> None:
        """Settles what is done. A function that still works in its thread keeps its lease to the end of it."""
        tasks = [held.task for held in self._held.values() if held.task is not None and not held.task.done()]
        if not self._is_coroutine:
            for held in self._held.values():
                held.is_lost = held.is_lost or (held.task is not None and not held.task.done())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._outbox.put_nowait(None)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(settler, timeout=max(self._drain_s, 1.0))
        renewer.cancel()
        await asyncio.gather(renewer, return_exceptions=True)


def _report(held: _Held, said: dict[str, object], verdict: Verdict) -> None:
    if verdict.verdict in ("stale", "gone"):
        _log.warning("%s was settled as %s too late: %s", held.message.id, said["as"], verdict.verdict)
    elif verdict.verdict == "invalid":
        _log.error("%s could not be settled as %s: %s", held.message.id, said["as"], verdict.problem)


def _detail(error: BaseException) -> str | None:
    """What went wrong, in a text that goes on the wire."""
    said = str(error)
    if not isinstance(error, (Retry, Dead)):
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return said[:_DETAIL_CHARS_MAX].encode("utf-8", "replace").decode() or None


def _sendable(said: dict[str, object]) -> dict[str, object]:
    """Without a result that JSON cannot express: the work is done all the same."""
    try:
        encode(said)
    except (TypeError, ValueError) as error:
        _log.error("the result of %s is not kept, since it cannot be written as JSON: %s", said["id"], error)
        return {name: value for name, value in said.items() if name != "result"}
    return said
