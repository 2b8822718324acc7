"""Tasks of several requests, as generators: each yields a call or a wait, and gets the answer back.

So the blocking and the asynchronous client share them.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from tidegate import _calls as calls
from tidegate._calls import Call
from tidegate._values import encode
from tidegate.errors import BatchInterrupted, Draining, NotFinal, StoreUnavailable, TidegateError
from tidegate.messages import NewMessage, new_message
from tidegate.models import BatchResult, BatchResults, Message
from tidegate.repeats import Patience, Repeats

T = TypeVar("T")

ITEMS_MAX = 10_000
"""The most messages that the daemon takes in one request."""
BYTES_MAX = 4 * 1024 * 1024
"""A request is closed when it has so many bytes: what is lost with a connection is sent again."""
EARLY_ANSWER_S = 0.25
"""The least time between two questions, where the daemon or a proxy does not wait as it was asked to."""


@dataclass(frozen=True)
class Pause:
    """Wait so long."""

    wait_s: float


Plan: TypeAlias = Generator["Call[Any] | Pause", Any, T]


def wait_until_final(message_id: str, *, timeout_s: float) -> Plan[Message]:
    """Asks until the message is final; raises ``NotFinal`` where it is not in time."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        asked_s = time.monotonic()
        wait_s = min(max(deadline_s - asked_s, 0.0), calls.WAIT_MAX_S)
        message: Message = yield calls.get(message_id, wait_s=wait_s, view="basic")
        if message.is_final:
            return message
        now_s = time.monotonic()
        if now_s >= deadline_s:
            raise NotFinal(message, timeout_s)
        if now_s - asked_s < min(EARLY_ANSWER_S, wait_s):
            yield Pause(min(EARLY_ANSWER_S, deadline_s - now_s))


@dataclass(frozen=True)
class _Item:
    encoded: bytes
    has_key: bool


class Batch:
    """Messages that are handed over in requests of a bearable size. What may be missing is sent again."""

    def __init__(self, queue: str, repeats: Repeats) -> None:
        self._queue = queue
        self._repeats = repeats
        self._results: list[BatchResult] = []
        self._chunk: list[_Item] = []
        self._size_bytes = 0

    def add(self, message: NewMessage) -> Plan[None]:
        """One more message; those before it are sent first if a request has no room for it."""
        item = _item(message, f"messages[{len(self._results) + len(self._chunk)}]")
        is_full = len(self._chunk) == ITEMS_MAX or self._size_bytes + len(item.encoded) > BYTES_MAX
        if self._chunk and is_full:
            yield from self._send()
        self._chunk.append(item)
        self._size_bytes += len(item.encoded)

    def end(self) -> Plan[BatchResults]:
        """Sends the rest."""
        if self._chunk:
            yield from self._send()
        return BatchResults(self._results)

    def _send(self) -> Plan[None]:
        try:
            answered = yield from _send_chunk(self._queue, self._chunk, self._repeats)
        except TidegateError as error:
            raise BatchInterrupted(self._results, error) from error
        for result in answered:
            self._results.append(replace(result, index=len(self._results)))
        self._chunk, self._size_bytes = [], 0


def _item(given: NewMessage, what: str) -> _Item:
    message = new_message(given, what)
    try:
        return _Item(encode(message.body()), message.idempotency_key is not None)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what}: {error}") from error


def _send_chunk(queue: str, chunk: list[_Item], repeats: Repeats) -> Plan[list[BatchResult]]:
    settled: dict[int, BatchResult] = {}
    left = list(range(len(chunk)))
    patience = Patience(repeats)
    while True:
        items = [chunk[at] for at in left]
        answer: list[BatchResult] = yield calls.send_batch(
            queue, [it.encoded for it in items], is_repeatable=all(it.has_key for it in items)
        )
        for result in answer:
            if 0 <= result.index < len(left):
                settled[left[result.index]] = result
        missing = [at for at in left if at not in settled]
        if missing:
            raise TidegateError(f"the answer says nothing of {len(missing)} of {len(left)} messages; send them again")
        left = [at for at in left if _is_open(settled[at], chunk[at])]
        if not left:
            return [settled[at] for at in range(len(chunk))]
        problem = settled[left[0]].problem
        assert problem is not None
        try:
            wait_s = patience.wait_s(problem, time.monotonic())
        except TidegateError:
            return [settled[at] for at in range(len(chunk))]
        yield Pause(wait_s)


def _is_open(result: BatchResult, item: _Item) -> bool:
    """Whether sending the item again may help, and cannot take it twice."""
    return isinstance(result.problem, Draining) or (isinstance(result.problem, StoreUnavailable) and item.has_key)
