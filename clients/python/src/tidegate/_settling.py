"""What a worker says of the messages that it has: one loop renews their leases, one settles them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from tidegate import _calls as calls
from tidegate._values import encode
from tidegate.aio import AsyncTidegate
from tidegate.errors import ProblemError, TidegateError
from tidegate.models import ClaimedMessage, Verdict

_log = logging.getLogger("tidegate.worker")

_SETTLED_AT_ONCE = 100


@dataclass
class Held:
    """A message that this worker has, until its settlement was answered."""

    message: ClaimedMessage
    is_coroutine: bool = False
    """Whether its task can be cancelled."""
    task: asyncio.Task[None] | None = None
    is_lost: bool = False


class Settling:
    """The messages that a worker has, and what is still to be said of them."""

    def __init__(self, queue: str, lease_s: float) -> None:
        self._queue = queue
        self._lease_s = lease_s
        self.held: dict[str, Held] = {}
        self._outbox: asyncio.Queue[tuple[Held, dict[str, object]] | None] = asyncio.Queue()

    def say(self, held: Held, said: dict[str, object]) -> None:
        """Settles a message, unless another worker has it."""
        if held.is_lost:
            self.held.pop(held.message.token, None)
        else:
            self._outbox.put_nowait((held, _sendable(said)))

    def say_no_more(self) -> None:
        """``settle_all`` ends when everything was said."""
        self._outbox.put_nowait(None)

    async def settle_all(self, client: AsyncTidegate) -> None:
        is_last = False
        while not is_last:
            taken = [await self._outbox.get()]
            while len(taken) < _SETTLED_AT_ONCE and not self._outbox.empty():
                taken.append(self._outbox.get_nowait())
            is_last = None in taken
            items = [each for each in taken if each is not None]
            if items:
                await self._settle(client, items)

    async def _settle(self, client: AsyncTidegate, items: list[tuple[Held, dict[str, object]]]) -> None:
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
            self.held.pop(held.message.token, None)

    async def renew_all(self, client: AsyncTidegate) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3.0)
            held = [each for each in self.held.values() if not each.is_lost]
            lease = lease_text(self._lease_s)
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

    def _renewed(self, held: Held, verdict: Verdict) -> None:
        if verdict.verdict not in ("stale", "gone") or held.message.token not in self.held:
            return
        held.is_lost = True
        _log.warning("%s is %s: another worker has it now, or it is final", held.message.id, verdict.verdict)
        if held.is_coroutine and held.task is not None:
            held.task.cancel()


def lease_text(lease_s: float) -> str:
    """A lease as the API takes it."""
    return f"{lease_s * 1000:.0f}ms"


def _report(held: Held, said: dict[str, object], verdict: Verdict) -> None:
    if verdict.verdict in ("stale", "gone"):
        _log.warning("%s was settled as %s too late: %s", held.message.id, said["as"], verdict.verdict)
    elif verdict.verdict == "invalid":
        _log.error("%s could not be settled as %s: %s", held.message.id, said["as"], verdict.problem)


def _sendable(said: dict[str, object]) -> dict[str, object]:
    """Without a result that JSON cannot express: the work is done all the same."""
    try:
        encode(said)
    except (TypeError, ValueError) as error:
        _log.error("the result of %s is not kept, since it cannot be written as JSON: %s", said["id"], error)
        return {name: value for name, value in said.items() if name != "result"}
    return said
