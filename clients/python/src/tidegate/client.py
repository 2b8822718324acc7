"""The blocking client. What it asks, and what the answers mean, is in ``_calls`` and ``_plans``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar

import httpx
from typing_extensions import Self, Unpack

from tidegate import _calls as calls
from tidegate import _plans as plans
from tidegate._calls import Call, Filter
from tidegate._exchange import Exchange, Options, connection_failed
from tidegate._tail import Tail
from tidegate._values import Duration, Moment
from tidegate.errors import TidegateError
from tidegate.messages import MessageFields, NewMessage
from tidegate.models import (
    Attempt,
    BatchResults,
    ClaimedMessage,
    Event,
    Message,
    MessagePage,
    Published,
    Queue,
    State,
    Verdict,
)
from tidegate.repeats import Repeats

T = TypeVar("T")


class Tidegate:
    """A client that may be used by several threads.

    ``url`` and ``token`` default to ``TIDEGATE_URL`` and ``TIDEGATE_TOKEN``, and the url then to
    ``http://127.0.0.1:7411``. ``timeout_s`` is how long one try of any request may take, beside a wait that was
    asked for: 10 s if it is not given, and 60 s for a request of ``send_many``. Requests are repeated as
    ``repeats`` says.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout_s: float | None = None,
        repeats: Repeats | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        self.options = Options.of(url, token, timeout_s, repeats)
        self._http = http_client or httpx.Client()
        self._is_own = http_client is None

    # ── hand over ────────────────────────────────────────────────────────────────────────────────

    def send(self, queue: str, payload: Any, **fields: Unpack[MessageFields]) -> Message:
        """Hands a message over; it is stored when this returns. Repeats take it once."""
        return self.send_message(queue, NewMessage(payload, **fields))

    def send_message(self, queue: str, message: NewMessage) -> Message:
        """Hands over a message that was made before, perhaps for the second time."""
        return self.call(calls.send(queue, message))

    def send_many(self, queue: str, messages: Iterable[NewMessage]) -> BatchResults:
        """Hands over any number of messages. Each is judged for itself: look at ``rejected``.

        If a request fails, ``BatchInterrupted`` is raised, with the results of those that were answered before. A
        request may take 60 s, or the ``timeout_s`` of the client.
        """
        batch = plans.Batch(queue, self.options.repeats)
        for message in messages:
            self._carry_out(batch.add(message))
        return self._carry_out(batch.end())

    def publish(self, topic: str, payload: Any, **fields: Unpack[MessageFields]) -> Published:
        """Hands an event over to each queue of a topic."""
        return self.call(calls.publish(topic, NewMessage(payload, **fields)))

    # ── messages ─────────────────────────────────────────────────────────────────────────────────

    def get(self, message_id: str, *, wait_s: float = 0.0, view: Literal["basic", "full"] = "basic") -> Message:
        """A message; with ``wait_s`` (at most 60) as soon as it is final, or after that time as it is."""
        return self.call(calls.get(message_id, wait_s=wait_s, view=view))

    def wait_until_final(self, message_id: str, *, timeout_s: float) -> Message:
        """The message when it is final; raises ``NotFinal`` after ``timeout_s``."""
        return self._carry_out(plans.wait_until_final(message_id, timeout_s=timeout_s))

    def attempts(self, message_id: str) -> list[Attempt]:
        """The tries to deliver a message."""
        return self.call(calls.attempts(message_id))

    def cancel(self, message_id: str) -> Message:
        """Cancels a message that waits; ``WrongState`` if it is being sent or is final."""
        return self.call(calls.cancel(message_id))

    def reschedule(self, message_id: str, *, delay: Duration | None = None, due_at: Moment | None = None) -> Message:
        """Changes when a message is due."""
        change = calls.change_of(delay=delay, due_at=due_at, expires_at=None, priority=None)
        return self.call(calls.edit(message_id, change))

    def edit(
        self,
        message_id: str,
        *,
        delay: Duration | None = None,
        due_at: Moment | None = None,
        expires_at: Moment | None = None,
        priority: int | None = None,
    ) -> Message:
        """Changes a message that waits."""
        change = calls.change_of(delay=delay, due_at=due_at, expires_at=expires_at, priority=priority)
        return self.call(calls.edit(message_id, change))

    def edit_payload(self, message_id: str, payload: Any) -> Message:
        """Changes the payload of a message that is dead, uncertain or scheduled."""
        return self.call(calls.edit(message_id, calls.payload_change(payload)))

    def run(self, message_id: str) -> Message:
        """Makes a message due now; limits and windows hold."""
        return self.call(calls.run(message_id))

    def requeue(self, message_id: str) -> Message:
        """Sends a dead, uncertain, expired or cancelled message again."""
        return self.call(calls.requeue(message_id))

    def resolve(
        self, message_id: str, as_: Literal["delivered", "resend", "dead"], *, reason: str | None = None
    ) -> Message:
        """Decides on an uncertain message."""
        return self.call(calls.resolve(message_id, as_, reason))

    def messages(self, queue: str, *, page_size: int | None = None, **which: Unpack[Filter]) -> Iterator[Message]:
        """All messages of a queue that match, page by page; ``page_size`` is 100 by default and at most 1000."""
        cursor = None
        while True:
            page = self.page(queue, page_size=page_size, cursor=cursor, **which)
            yield from page.messages
            cursor = page.next_cursor
            if cursor is None:
                return

    def page(
        self, queue: str, *, page_size: int | None = None, cursor: str | None = None, **which: Unpack[Filter]
    ) -> MessagePage:
        """One page of a list. It may be empty and still have a ``next_cursor``."""
        return self.call(calls.page(queue, which, limit=page_size, cursor=cursor))

    # ── queues ───────────────────────────────────────────────────────────────────────────────────

    def queues(self) -> list[Queue]:
        """All queues."""
        return self.call(calls.queues())

    def queue(self, name: str) -> Queue:
        """One queue."""
        return self.call(calls.queue(name))

    def pause(
        self,
        name: str,
        *,
        until: Moment | None = None,
        for_: Duration | None = None,
        reason: str | None = None,
    ) -> Queue:
        """Pauses a queue, until ``resume`` if neither ``until`` nor ``for_`` is given."""
        return self.call(calls.pause(name, until=until, for_=for_, reason=reason))

    def resume(self, name: str) -> Queue:
        """Ends a pause, and opens a queue that the answers of its downstream have shut."""
        return self.call(calls.resume(name))

    def events(
        self, *, queues: Sequence[str] = (), states: Sequence[State] = (), after: str | None = None
    ) -> Iterator[Event]:
        """Changes of state as they happen, over all losses of the connection. It does not end by itself."""
        tail = Tail(self.options, queues, states, after)
        while True:
            try:
                with self._http.stream(**tail.request()) as response:
                    if tail.is_stream(response):
                        for chunk in response.iter_bytes():
                            yield from tail.feed(chunk)
                        wait_s = tail.ended()
                    else:
                        response.read()
                        wait_s = tail.refused(response)
            except httpx.RequestError as error:
                wait_s = tail.failed(connection_failed(error, self.options.url))
            time.sleep(wait_s)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────

    def claim(
        self, queue: str, *, max_messages: int = 1, wait_s: float = 0.0, lease: Duration | None = None
    ) -> list[ClaimedMessage]:
        """Takes messages of a queue with ``type = "pull"``; ``Worker`` does this and the rest."""
        return self.call(calls.claim(queue, max_messages=max_messages, wait_s=wait_s, lease=lease))

    def settle(self, queue: str, settlements: Sequence[Mapping[str, object]]) -> list[Verdict]:
        """Reports what became of claimed messages; ``settlement`` makes the items."""
        return self.call(calls.settle(queue, settlements))

    # ── everything else ──────────────────────────────────────────────────────────────────────────

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        query: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """A route that has no method here, such as ``request("GET", "/v1/doctor")``."""
        return self.call(calls.anything(method, path, json=json, query=query or {}, idempotency_key=idempotency_key))

    def call(self, call: Call[T]) -> T:
        """Carries out one call, with its repeats."""
        exchange = Exchange(call, self.options)
        while True:
            try:
                return exchange.value(self._http.request(**exchange.request()))
            except (httpx.RequestError, httpx.InvalidURL) as error:
                wait_s = exchange.wait_s(connection_failed(error, self.options.url))
            except TidegateError as error:
                wait_s = exchange.wait_s(error)
            time.sleep(wait_s)

    def _carry_out(self, plan: plans.Plan[T]) -> T:
        try:
            step = next(plan)
            while True:
                if isinstance(step, plans.Pause):
                    time.sleep(step.wait_s)
                    step = plan.send(None)
                    continue
                try:
                    answer = self.call(step)
                except TidegateError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as end:
            value: T = end.value
            return value

    def close(self) -> None:
        """Closes the connections."""
        if self._is_own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
