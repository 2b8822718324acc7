"""One call from its request to its value, as far as it needs no connection: options, errors, repeats."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Generic, TypedDict, TypeVar

import httpx

from tidegate._calls import Call
from tidegate._values import decode
from tidegate.errors import ConnectionFailed, TidegateError, UnexpectedAnswer, error_of_answer
from tidegate.repeats import Patience, Repeats, retry_after_s

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:7411"
_NEVER_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Nothing of the request has reached anybody."""
_OUR_OWN_FAULT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)


@dataclass(frozen=True)
class Options:
    """Where the daemon is, and how it is spoken to."""

    url: str
    token: str | None = field(repr=False)
    timeout_s: float | None
    """How long one try of any request may take, beside a wait that was asked for; None is as ``Call`` has it."""
    repeats: Repeats

    @staticmethod
    def of(url: str | None, token: str | None, timeout_s: float | None, repeats: Repeats | None) -> Options:
        url = (url or os.environ.get("TIDEGATE_URL") or DEFAULT_URL).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not the url of a daemon; write it as {DEFAULT_URL}")
        token = token or os.environ.get("TIDEGATE_TOKEN") or None
        if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError(
                "the token has a character that no token has, such as a line end; give it without, as with .strip()"
            )
        return Options(url, token, timeout_s, repeats or Repeats())

    def headers(self) -> dict[str, str]:
        """Those of every request."""
        headers = {"User-Agent": "tidegate-python", "Accept": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers


class RequestArguments(TypedDict):
    """What httpx is given."""

    method: str
    url: str
    params: httpx.QueryParams | None
    content: bytes | None
    headers: dict[str, str]
    timeout: httpx.Timeout


class Exchange(Generic[T]):
    """One call, with all its tries."""

    def __init__(self, call: Call[T], options: Options) -> None:
        self._call = call
        self._options = options
        self._patience = Patience(options.repeats, call.is_repeatable)

    def request(self) -> RequestArguments:
        """One try."""
        call = self._call
        headers = {**self._options.headers(), **call.headers}
        if call.method not in ("GET", "HEAD"):
            headers["Content-Type"] = "application/json"
        timeout_s = call.timeout_s if self._options.timeout_s is None else self._options.timeout_s
        return {
            "method": call.method,
            "url": self._options.url + call.path,
            "params": httpx.QueryParams(list(call.query)) if call.query else None,
            "content": call.body,
            "headers": headers,
            "timeout": httpx.Timeout(timeout_s, read=call.answers_after_s + timeout_s),
        }

    def value(self, response: httpx.Response) -> T:
        """The value of an answer; raises its error."""
        if not response.is_success:
            after_s = retry_after_s(response.headers.get("Retry-After"))
            raise error_of_answer(response.status_code, response.content, after_s)
        try:
            return self._call.read(decode(response.content))
        except (ValueError, TypeError, AttributeError) as error:
            raise UnexpectedAnswer(
                f"the answer {response.status_code} to {self._call.method} {self._call.path} cannot be read: {error}; "
                "look whether the url is that of Tidegate's API, and whether this package is as new as the daemon",
                status=response.status_code,
                body=response.content,
            ) from error

    def wait_s(self, error: TidegateError) -> float:
        """How long to wait before the next try; raises the error if there is none."""
        error.idempotency_key = self._call.idempotency_key
        return self._patience.wait_s(error, time.monotonic())


def connection_failed(error: httpx.RequestError | httpx.InvalidURL, url: str) -> TidegateError:
    """What an error of the HTTP client means."""
    if isinstance(error, _OUR_OWN_FAULT):
        raise ValueError(f"the request cannot be written: {error}") from error
    said = str(error) or type(error).__name__
    if isinstance(error, _NEVER_LEFT):
        detail = f"{url} cannot be reached ({said}); look whether the daemon runs there: `tidegate health`"
        return ConnectionFailed(detail, may_have_arrived=False)
    detail = f"the answer of {url} did not arrive ({said}); the request may have been carried out"
    return ConnectionFailed(detail, may_have_arrived=True)
