"""Every route as a value: what is asked, how its answer is read, and whether it may be repeated.

``Tidegate`` and ``AsyncTidegate`` carry the same calls out. Knows no connection and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from typing_extensions import TypedDict

from tidegate._reading import read
from tidegate._values import Duration, Moment, duration, encode, known, moment, seconds, segment, without_none
from tidegate.messages import NewMessage, new_message, payload_field
from tidegate.models import (
    Attempt,
    BatchResult,
    ClaimedMessage,
    Message,
    MessagePage,
    Published,
    Queue,
    State,
    Verdict,
)

T = TypeVar("T")
Query: TypeAlias = "Sequence[tuple[str, str]]"

WAIT_MAX_S = 60.0
"""The daemon waits no longer in one request."""
CLAIM_MAX = 1000
BATCH_S = 60.0
"""What ten thousand messages may take on a slow disk."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request."""

    method: str
    path: str
    read: Callable[[Any], T]
    body: bytes | None = None
    query: Query = ()
    is_repeatable: bool = True
    """Whether carrying it out twice is the same as once."""
    answers_after_s: float = 0.0
    """How long the daemon was asked to wait before it answers."""
    timeout_s: float = 10.0
    """How long one try may take where the client was given no timeout."""
    idempotency_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Filter(TypedDict, total=False):
    """Which messages of a queue a list has; everything that is given must match."""

    state: State | Sequence[State]
    label: Mapping[str, str]
    group: str
    error_contains: str
    created_after: Moment
    created_before: Moment
    due_after: Moment
    due_before: Moment
    final_after: Moment
    final_before: Moment
    idempotency_key: str
    view: Literal["basic", "full"]


PAGE_FIELDS = Filter.__optional_keys__ | {"page_size", "cursor"}
"""What ``page`` takes beside the queue."""


def send(queue: str, message: NewMessage) -> Call[Message]:
    return _hand_over(f"{_queue(queue)}/messages", message, Message)


def publish(topic: str, message: NewMessage) -> Call[Published]:
    return _hand_over(f"/v1/topics/{segment(topic, 'name of a topic')}/messages", message, Published)


def _hand_over(path: str, given: NewMessage, kind: type[T]) -> Call[T]:
    message = new_message(given, "the message")
    return Call(
        "POST",
        path,
        _reader(kind),
        body=encode(message.body()),
        is_repeatable=message.idempotency_key is not None,
        idempotency_key=message.idempotency_key,
    )


def send_batch(queue: str, items: Sequence[bytes], *, is_repeatable: bool) -> Call[list[BatchResult]]:
    """``items`` are messages that are encoded already."""
    return Call(
        "POST",
        f"{_queue(queue)}/messages/batch",
        _list_reader("results", BatchResult),
        body=b"[" + b",".join(items) + b"]",
        is_repeatable=is_repeatable,
        timeout_s=BATCH_S,
    )


def get(message_id: str, *, wait_s: float, view: str) -> Call[Message]:
    wait_s = min(wait_s, WAIT_MAX_S)
    query = [("view", view)] if view != "basic" else []
    if wait_s > 0:
        query.append(("wait", seconds(wait_s)))
    return Call("GET", _message(message_id), _reader(Message), query=query, answers_after_s=wait_s)


def attempts(message_id: str) -> Call[list[Attempt]]:
    return Call("GET", f"{_message(message_id)}/attempts", _list_reader("attempts", Attempt))


def cancel(message_id: str) -> Call[Message]:
    return Call("DELETE", _message(message_id), _reader(Message))


def edit(message_id: str, change: Mapping[str, object]) -> Call[Message]:
    return Call("PATCH", _message(message_id), _reader(Message), body=encode(change))


def change_of(
    *, delay: Duration | None, due_at: Moment | None, expires_at: Moment | None, priority: int | None
) -> dict[str, object]:
    return without_none(
        {
            "delay": None if delay is None else duration(delay),
            "due_at": None if due_at is None else moment(due_at),
            "expires_at": None if expires_at is None else moment(expires_at),
            "priority": priority,
        }
    )


def payload_change(payload: Any) -> dict[str, object]:
    return payload_field(payload)


def run(message_id: str) -> Call[Message]:
    return _act(message_id, "run", {})


def requeue(message_id: str) -> Call[Message]:
    return _act(message_id, "requeue", {})


def resolve(message_id: str, as_: str, reason: str | None) -> Call[Message]:
    return _act(message_id, "resolve", without_none({"as": as_, "reason": reason}))


def _act(message_id: str, verb: str, body: Mapping[str, object]) -> Call[Message]:
    # A second one could send the message a second time.
    path = f"{_message(message_id)}/{verb}"
    return Call("POST", path, _reader(Message), body=encode(body), is_repeatable=False)


def page(queue: str, which: Filter, *, limit: int | None, cursor: str | None) -> Call[MessagePage]:
    known(which, PAGE_FIELDS)
    query: list[tuple[str, str]] = []
    for name, value in which.items():
        if name == "state" and not isinstance(value, str):
            query.append(("state", ",".join(value)))  # type: ignore[arg-type]
        elif name == "label" and isinstance(value, Mapping):
            query.extend(("label", f"{label}={text}") for label, text in value.items())
        elif value is not None:
            query.append((name, moment(value)))  # type: ignore[arg-type]
    if limit is not None:
        query.append(("limit", str(limit)))
    if cursor is not None:
        query.append(("cursor", cursor))
    return Call("GET", f"{_queue(queue)}/messages", _reader(MessagePage), query=query)


def queues() -> Call[list[Queue]]:
    return Call("GET", "/v1/queues", _list_reader("queues", Queue))


def queue(name: str) -> Call[Queue]:
    return Call("GET", _queue(name), _reader(Queue))


def pause(name: str, *, until: Moment | None, for_: Duration | None, reason: str | None) -> Call[Queue]:
    body = without_none(
        {
            "until": None if until is None else moment(until),
            "for": None if for_ is None else duration(for_),
            "reason": reason,
        }
    )
    return Call("POST", f"{_queue(name)}/pause", _reader(Queue), body=encode(body))


def resume(name: str) -> Call[Queue]:
    return Call("POST", f"{_queue(name)}/resume", _reader(Queue), body=b"{}")


def claim(name: str, *, max_messages: int, wait_s: float, lease: Duration | None) -> Call[list[ClaimedMessage]]:
    wait_s = min(wait_s, WAIT_MAX_S)
    body = without_none(
        {
            "max": max_messages,
            "wait": seconds(wait_s),
            "lease": None if lease is None else duration(lease),
        }
    )
    return Call(
        "POST",
        f"{_queue(name)}/claim",
        _list_reader("messages", ClaimedMessage),
        body=encode(body),
        # What a lost answer had is held until its lease ends; a second claim would hold still more.
        is_repeatable=False,
        answers_after_s=wait_s,
    )


def settle(name: str, settlements: Sequence[Mapping[str, object]]) -> Call[list[Verdict]]:
    body = encode(list(settlements))
    return Call("POST", f"{_queue(name)}/settle", _list_reader("results", Verdict), body=body)


def settlement(
    message: ClaimedMessage,
    as_: Literal["delivered", "retry", "dead", "release", "renew"],
    *,
    result: Any = None,
    detail: str | None = None,
    delay: Duration | None = None,
    lease: Duration | None = None,
) -> dict[str, object]:
    """One item of ``settle``."""
    return {
        "id": message.id,
        "token": message.token,
        "as": as_,
        **without_none(
            {
                "result": result,
                "detail": detail,
                "delay": None if delay is None else duration(delay),
                "lease": None if lease is None else duration(lease),
            }
        ),
    }


def anything(
    method: str, path: str, *, json: object, query: Mapping[str, str], idempotency_key: str | None
) -> Call[Any]:
    """A route that has no method of its own."""
    is_read = method.upper() in ("GET", "HEAD")
    headers = {} if idempotency_key is None else {"Idempotency-Key": _header(idempotency_key)}
    return Call(
        method.upper(),
        path,
        lambda answer: answer,
        body=None if json is None and is_read else encode({} if json is None else json),
        query=list(query.items()),
        is_repeatable=is_read or idempotency_key is not None,
        idempotency_key=idempotency_key,
        headers=headers,
    )


def _header(key: str) -> str:
    if not key.isascii() or not key.isprintable():
        raise ValueError(
            f"{key!r} cannot stand in a header; use printable ASCII, or give the key as idempotency_key of a message"
        )
    return key


def _queue(name: str) -> str:
    return f"/v1/queues/{segment(name, 'name of a queue')}"


def _message(message_id: str) -> str:
    return f"/v1/messages/{segment(message_id, 'id of a message')}"


def _reader(kind: type[T]) -> Callable[[Any], T]:
    return lambda answer: read(kind, answer)


def _list_reader(name: str, kind: type[T]) -> Callable[[Any], list[T]]:
    def reader(answer: Any) -> list[T]:
        found = answer.get(name) if isinstance(answer, Mapping) else None
        if not isinstance(found, list):
            raise ValueError(f"a list of {name} was expected")
        return [read(kind, each) for each in found]

    return reader
