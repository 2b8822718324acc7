"""What the API answers, and what its event stream says. Fields that have no name here are in ``raw``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from tidegate.errors import ProblemError
from tidegate.messages import FinalState

State: TypeAlias = Literal[
    "scheduled", "ready", "leased", "uncertain", "accepted", "delivered", "dead", "expired", "cancelled"
]
FINAL_STATES: tuple[FinalState, ...] = ("delivered", "dead", "expired", "cancelled")


@dataclass(frozen=True)
class Attempt:
    """One try to deliver a message."""

    attempt: int
    started_at: datetime
    ended_at: datetime
    outcome: str
    status_code: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Result:
    """What the downstream answered in the end."""

    status_code: int | None = None
    content_type: str | None = None
    body: str | bytes | None = None
    by: str | None = None


@dataclass(frozen=True)
class Message:
    """A message as it is now."""

    id: str
    queue: str
    state: State
    content_type: str
    created_at: datetime
    due_at: datetime
    priority: int
    attempts: int
    expires_at: datetime | None = None
    group: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    cost: int = 1
    throttles: int = 0
    window_holds: int = 0
    rescues: int = 0
    next_attempt_at: datetime | None = None
    last_attempt: Attempt | None = None
    final_at: datetime | None = None
    reason: str | None = None
    result: Result | None = None
    held_by: list[str] = field(default_factory=list)
    duplicate: bool = False
    collapsed: bool = False
    headers: dict[str, str] | None = None
    payload: Any = None
    """With ``view="full"``, while it is kept; bytes if it was sent as bytes."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state in FINAL_STATES


@dataclass(frozen=True)
class MessagePage:
    """One page of a list."""

    messages: list[Message]
    next_cursor: str | None = None
    looked: int = 0
    of: int = 0


@dataclass(frozen=True)
class BatchResult:
    """What became of one message of a batch: it has an id, or a problem."""

    index: int
    id: str | None = None
    due_at: datetime | None = None
    duplicate: bool = False
    collapsed: bool = False
    problem: ProblemError | None = None


@dataclass(frozen=True)
class BatchResults:
    """The results of ``send_many``, in the order of the messages."""

    results: list[BatchResult]

    @property
    def accepted(self) -> list[BatchResult]:
        """Those that were taken."""
        return [each for each in self.results if each.problem is None]

    @property
    def rejected(self) -> list[BatchResult]:
        """Those that were refused, each with its problem."""
        return [each for each in self.results if each.problem is not None]


@dataclass(frozen=True)
class PublishedMessage:
    """The message that one queue has of an event."""

    queue: str
    id: str
    pending: bool = False


@dataclass(frozen=True)
class Published:
    """An event that a topic has taken."""

    id: str
    messages: list[PublishedMessage]
    duplicate: bool = False


@dataclass(frozen=True)
class Sending:
    """Whether a queue sends now, and if not, why."""

    state: str
    reason: str
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Queue:
    """A queue as it is now. ``raw`` also has its policy, limits, window, gate and rate."""

    name: str
    retired: bool
    counts: dict[str, int]
    sending: Sending
    oldest_ready_age_ms: int | None = None
    next_due_at: datetime | None = None
    paused: dict[str, Any] | None = None
    resumed: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class ClaimedMessage:
    """A message that this worker holds until ``lease_until``."""

    id: str
    token: str
    attempt: int
    content_type: str
    lease_until: datetime
    due_at: datetime
    headers: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    group: str | None = None
    expires_at: datetime | None = None
    payload: Any = None
    """A JSON value, or bytes if it was sent as bytes."""
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Verdict:
    """What became of one settlement."""

    verdict: Literal["ok", "already", "stale", "gone", "invalid"]
    id: str | None = None
    problem: ProblemError | None = None


@dataclass(frozen=True)
class Ready:
    """The stream of events is open; so it begins, also after each new connection."""


@dataclass(frozen=True)
class MessageChanged:
    """A message is in this state now."""

    event_id: str
    id: str
    queue: str
    state: State
    at: datetime


@dataclass(frozen=True)
class QueueChanged:
    """A queue was paused or resumed, or the answers of its downstream shut it."""

    event_id: str
    queue: str
    change: str
    at: datetime


@dataclass(frozen=True)
class Gap:
    """Changes may be missing here; read the queues again."""

    detail: str


Event: TypeAlias = "Ready | MessageChanged | QueueChanged | Gap"
