"""A message on its way in: its fields, in one place for ``send``, ``send_many`` and ``publish``."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from typing_extensions import TypedDict, Unpack

from tidegate._values import Duration, Moment, duration, known, moment, without_none

FinalState: TypeAlias = Literal["delivered", "dead", "expired", "cancelled"]


class Callback(TypedDict, total=False):
    """Where a callback goes, and for which final states one is sent."""

    url: str
    on: Sequence[FinalState]


class Retry(TypedDict, total=False):
    """What a message changes in the retry policy of its queue."""

    max_attempts: int
    initial: Duration
    factor: float
    max: Duration
    jitter: float
    max_age: Duration
    schedule: Sequence[Duration]


class MessageFields(TypedDict, total=False):
    """Every field of a message except its payload; docs/http.md of Tidegate says what each does."""

    content_type: str
    headers: Mapping[str, str]
    delay: Duration
    due_at: Moment
    ttl: Duration
    expires_at: Moment
    must_dispatch_by: Moment
    priority: int
    group: str
    labels: Mapping[str, str]
    idempotency_key: str | None
    retry: Retry
    timeout: Duration
    cost: int
    collapse_key: str
    time_zone: str
    recipient_hours: Literal["ignore"]
    callback: Callback
    url: str
    method: str


_DURATIONS = ("delay", "ttl", "timeout")
_MOMENTS = ("due_at", "expires_at", "must_dispatch_by")
_RETRY_DURATIONS = ("initial", "max", "max_age")


class NewMessage:
    """A message that is to be sent.

    It gets an idempotency key when it is made, unless it is given one. So the same object may be sent again
    after any error, and one message is taken. ``idempotency_key=None`` leaves the key out; such a message is
    not repeated where it may have arrived.
    """

    def __init__(self, payload: Any, **fields: Unpack[MessageFields]) -> None:
        known(fields, MessageFields.__optional_keys__)
        known(fields.get("retry") or (), Retry.__optional_keys__, "retry")
        known(fields.get("callback") or (), Callback.__optional_keys__, "callback")
        self.fields: MessageFields = {"idempotency_key": str(uuid.uuid4()), **fields}
        self.payload = payload

    @property
    def idempotency_key(self) -> str | None:
        """The key by which a repeat is recognised."""
        return self.fields.get("idempotency_key")

    def body(self) -> dict[str, object]:
        """The message as the API takes it."""
        written: dict[str, Any] = without_none(self.fields)
        for name in _DURATIONS:
            if name in written:
                written[name] = duration(written[name])
        for name in _MOMENTS:
            if name in written:
                written[name] = moment(written[name])
        if "retry" in written:
            written["retry"] = _retry(written["retry"])
        return {**payload_field(self.payload), **written}

    def __repr__(self) -> str:
        return f"NewMessage(idempotency_key={self.idempotency_key!r})"


def new_message(given: object, what: str) -> NewMessage:
    """The message; raises where something else was given, such as a payload by itself."""
    if isinstance(given, NewMessage):
        return given
    raise TypeError(f"{what} is of the type {type(given).__name__}; give NewMessage(payload, ...)")


def payload_field(payload: Any) -> dict[str, object]:
    """A payload as a field: bytes as base64, everything else as JSON."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return {"payload_base64": base64.b64encode(payload).decode("ascii")}
    return {"payload": payload}


def _retry(retry: Mapping[str, Any]) -> dict[str, Any]:
    written = dict(retry)
    for name in _RETRY_DURATIONS:
        if name in written:
            written[name] = duration(written[name])
    if "schedule" in written:
        written["schedule"] = [duration(each) for each in written["schedule"]]
    return written
