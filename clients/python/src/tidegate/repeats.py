"""Whether a request is repeated, and when. Pure: the callers have the clock and the connection.

A request that changes something twice if it is carried out twice is repeated only if it surely was not
carried out: no connection, 429, or a 503 that says so.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from tidegate.errors import Draining, StoreFull, TidegateError, TooManyRequests

_GATEWAY_STATUSES = (502, 503, 504)
"""Also what a proxy says while the daemon behind it starts again."""
_JITTER = 0.2


@dataclass(frozen=True)
class Repeats:
    """How long, and how fast, requests are repeated."""

    deadline_s: float = 30.0
    """How long after its first failure a request is given up; 0 repeats nothing."""
    initial_s: float = 0.2
    """The wait after the first failure. It doubles with each further one."""
    wait_max_s: float = 5.0
    """The longest wait, unless the daemon names a longer one in Retry-After."""


@dataclass
class Patience:
    """The failures of one request in a row."""

    repeats: Repeats
    is_repeatable: bool = True
    """Whether carrying it out twice is the same as once."""
    chance: Callable[[], float] = field(default=random.random)
    failures: int = 0
    _first_failure_s: float = 0.0

    def succeeded(self) -> None:
        """Forgets the failures."""
        self.failures = 0

    def wait_s(self, error: TidegateError, now_s: float) -> float:
        """How long to wait before the next try; raises the error if there is none."""
        if not self._is_worth_a_repeat(error):
            raise error
        if self.failures == 0:
            self._first_failure_s = now_s
        self.failures += 1
        wait_s = self._backoff_s(getattr(error, "retry_after_s", None))
        if now_s + wait_s - self._first_failure_s > self.repeats.deadline_s:
            raise error
        return wait_s

    def _is_worth_a_repeat(self, error: TidegateError) -> bool:
        if isinstance(error, (TooManyRequests, Draining, StoreFull)):
            return True
        may_have_arrived = getattr(error, "may_have_arrived", None)
        if may_have_arrived is not None:
            return self.is_repeatable or not may_have_arrived
        return self.is_repeatable and getattr(error, "status", None) in _GATEWAY_STATUSES

    def _backoff_s(self, retry_after_s: float | None) -> float:
        """Jitter, so that clients that failed together do not come back together."""
        if retry_after_s is not None:
            # Never before the moment that the daemon named.
            return retry_after_s + self.chance() * min(retry_after_s * _JITTER, 1.0)
        backoff_s = min(self.repeats.initial_s * 2.0 ** min(self.failures - 1, 30), self.repeats.wait_max_s)
        return backoff_s * (1.0 - 0.5 * self.chance())


def retry_after_s(header: str | None, now: datetime | None = None) -> float | None:
    """Reads Retry-After: seconds or a date."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) < 10 else None
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=timezone.utc)
    return max((at - (now or datetime.now(timezone.utc))).total_seconds(), 0.0)
