"""Every error that the client raises, and how an answer becomes one.

A class for each code of a problem (RFC 9457); the classes of one status have a common base, so that a
caller may catch ``Unavailable`` as well as ``StoreFull``. Knows no HTTP client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tidegate._values import decode

if TYPE_CHECKING:
    from tidegate.models import BatchResult, Message


class TidegateError(Exception):
    """The base of all errors of this package."""

    idempotency_key: str | None = None
    """The key of the message that was to be sent: sending it again with this key takes one message."""


class ConnectionFailed(TidegateError):
    """The daemon was not reached, or its answer did not arrive."""

    def __init__(self, detail: str, *, may_have_arrived: bool) -> None:
        super().__init__(detail)
        self.may_have_arrived = may_have_arrived
        """False: the daemon has surely not received the request."""


class UnexpectedAnswer(TidegateError):
    """An answer that is not one of Tidegate, such as the page of a proxy."""

    def __init__(self, detail: str, *, status: int, body: bytes = b"") -> None:
        super().__init__(detail)
        self.status = status
        self.body = body


class NotFinal(TidegateError):
    """The message was not final in the time that ``wait_until_final`` was given."""

    def __init__(self, message: Message, timeout_s: float) -> None:
        held = f", held by {', '.join(message.held_by)}" if message.held_by else ""
        super().__init__(
            f"{message.id} is {message.state}{held}, and was not final within {timeout_s:g} s; "
            f"`tidegate explain {message.id}` says why it waits"
        )
        self.message = message


class BatchInterrupted(TidegateError):
    """A request of ``send_many`` failed; ``__cause__`` says why. Some of its messages may have been taken.

    Sending the same ``NewMessage`` objects again takes each message once, because each has its key.
    """

    def __init__(self, results: list[BatchResult], cause: TidegateError) -> None:
        super().__init__(
            f"send_many broke off after {len(results)} answered messages: {cause}; when that is mended, send "
            "the same NewMessage objects again: none that has an idempotency key is taken twice"
        )
        self.results = results
        """The results of the messages that were answered before, in their order; there may be none."""


class InvalidSignature(TidegateError):
    """A call that was not signed with any of the secrets, or too long ago."""


@dataclass(frozen=True)
class Fault:
    """One fault in a request."""

    pointer: str
    """A JSON pointer to the field, such as ``/due_at``; the empty text is the whole body."""
    detail: str


class ProblemError(TidegateError):
    """The daemon refused the request. The fields are those of the problem (RFC 9457)."""

    codes: ClassVar[tuple[str, ...]] = ()
    status_of_class: ClassVar[int] = 0

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        self.status = status
        self.code: str | None = _text(problem, "code")
        self.title = _text(problem, "title") or ""
        self.detail = _text(problem, "detail") or self.title or f"the answer has the status {status}"
        self.state = _text(problem, "state")
        """The state that did not allow the request (409)."""
        given = problem.get("errors")
        self.errors = [
            Fault(str(it.get("pointer", "")), str(it.get("detail", "")))
            for it in (given if isinstance(given, list) else [])
            if isinstance(it, Mapping)
        ]
        self.retry_after_s = _number(problem, "retry_after_s") if retry_after_s is None else retry_after_s
        """When to try again, in seconds (429 and 503), or None."""
        self.problem = problem
        """The problem as it came, with the fields that have no name here."""
        faults = [f"{fault.pointer or 'the body'}: {fault.detail}" for fault in self.errors]
        # The detail often is that of the first fault.
        said = [] if any(fault.detail == self.detail for fault in self.errors) else [self.detail]
        super().__init__(f"{status} {self.code or 'without a code'}: {'; '.join(said + faults)}")

    @property
    def pointer(self) -> str | None:
        """The field that the first fault is about."""
        return self.errors[0].pointer if self.errors else None


class InvalidRequest(ProblemError):
    codes, status_of_class = ("invalid-request",), 400


class Unauthorized(ProblemError):
    codes, status_of_class = ("unauthorized",), 401


class Forbidden(ProblemError):
    codes, status_of_class = ("forbidden",), 403


class NotFound(ProblemError):
    codes, status_of_class = ("not-found",), 404


class MethodNotAllowed(ProblemError):
    codes, status_of_class = ("method-not-allowed",), 405


class RequestTimeout(ProblemError):
    codes, status_of_class = ("request-timeout",), 408


class WrongState(ProblemError):
    codes, status_of_class = ("wrong-state",), 409


class TooLarge(ProblemError):
    codes, status_of_class = ("too-large",), 413


class UnsupportedMediaType(ProblemError):
    codes, status_of_class = ("unsupported-media-type",), 415


class Unprocessable(ProblemError):
    """422: the request can be read, and cannot be carried out as it is."""

    status_of_class = 422


class IdempotencyMismatch(Unprocessable):
    codes = ("idempotency-mismatch",)


class CostTooLarge(Unprocessable):
    codes = ("cost-too-large",)


class WindowMissed(Unprocessable):
    codes = ("window-missed",)


class HeadersTooLarge(ProblemError):
    codes, status_of_class = ("headers-too-large",), 431


class TooManyRequests(ProblemError):
    """429: refused for now; nothing was done."""

    status_of_class = 429


class BacklogFull(TooManyRequests):
    codes = ("backlog-full",)


class TooManyListeners(TooManyRequests):
    codes = ("too-many-listeners",)


class Internal(ProblemError):
    codes, status_of_class = ("internal",), 500


class Unavailable(ProblemError):
    """503: not now."""

    status_of_class = 503


class StoreUnavailable(Unavailable):
    """It is unknown whether the request was carried out: repeat it with the same key."""

    codes = ("store-unavailable",)


class StoreFull(Unavailable):
    codes = ("store-full",)


class Draining(Unavailable):
    codes = ("draining",)


def _all_below(base: type[ProblemError]) -> list[type[ProblemError]]:
    below = base.__subclasses__()
    return below + [deeper for each in below for deeper in _all_below(each)]


BY_CODE = {code: each for each in _all_below(ProblemError) for code in each.codes}
BY_STATUS = {each.status_of_class: each for each in ProblemError.__subclasses__()}


def problem_error(status: int, problem: Mapping[str, Any], retry_after_s: float | None = None) -> ProblemError:
    """The error of a problem: by its code, else by its status."""
    by_status = BY_STATUS.get(status, ProblemError)
    return BY_CODE.get(_text(problem, "code") or "", by_status)(status, problem, retry_after_s)


def error_of_answer(status: int, body: bytes, retry_after_s: float | None) -> TidegateError:
    """The error of an answer that is not a success."""
    try:
        problem = decode(body)
    except ValueError:
        problem = None
    if isinstance(problem, Mapping):
        return problem_error(status, problem, retry_after_s)
    if status in BY_STATUS:
        said = body[:200].decode("utf-8", "replace").strip()
        detail = f"the answer is not one of Tidegate, perhaps of a proxy before it: {said or 'it is empty'}"
        return problem_error(status, {"detail": detail}, retry_after_s)
    return UnexpectedAnswer(
        f"the answer has the status {status} and is not one of Tidegate; look whether the url is that of its API",
        status=status,
        body=body,
    )


def _text(problem: Mapping[str, Any], name: str) -> str | None:
    value = problem.get(name)
    return value if isinstance(value, str) else None


def _number(problem: Mapping[str, Any], name: str) -> float | None:
    value = problem.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
