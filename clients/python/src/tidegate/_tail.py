"""The stream of events as far as it needs no connection: its lines, its ids, and when to connect again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import httpx

from tidegate._exchange import Options, RequestArguments
from tidegate._reading import read
from tidegate._values import decode
from tidegate.errors import ConnectionFailed, TidegateError, UnexpectedAnswer, error_of_answer
from tidegate.models import Event, Gap, MessageChanged, QueueChanged, Ready, State
from tidegate.repeats import Patience, retry_after_s

SILENCE_MAX_S = 45.0
"""The daemon sends a comment every 15 s; after so long a silence the connection is dead."""
CONNECT_S = 10.0
"""How long a connection may take where the client was given no timeout."""
_LINE_BYTES_MAX = 1024 * 1024


class Tail:
    """One reader of the stream, over all its connections."""

    def __init__(self, options: Options, queues: Sequence[str], states: Sequence[State], after: str | None) -> None:
        self.last_id = after
        self._options = options
        named = {name: ",".join(words) for name, words in (("queue", queues), ("state", states)) if words}
        self._query = httpx.QueryParams(named) if named else None
        self._patience = Patience(options.repeats)
        self._begin()

    def _begin(self) -> None:
        self._rest = b""
        self._kind, self._data, self._id = "", "", None

    _kind: str
    _data: str
    _id: str | None

    def request(self) -> RequestArguments:
        """A new connection."""
        self._begin()
        headers = {**self._options.headers(), "Accept": "text/event-stream"}
        if self.last_id is not None:
            headers["Last-Event-ID"] = self.last_id
        return {
            "method": "GET",
            "url": f"{self._options.url}/v1/events",
            "params": self._query,
            "content": None,
            "headers": headers,
            "timeout": httpx.Timeout(self._options.timeout_s or CONNECT_S, read=SILENCE_MAX_S),
        }

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that are whole with these bytes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LINE_BYTES_MAX:
            raise UnexpectedAnswer("a line of the event stream does not end", status=200)
        for line in lines:
            yield from self._line(line.rstrip(b"\r").decode("utf-8", "replace"))

    def _line(self, line: str) -> Iterable[Event]:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._kind = value
            elif name == "data":
                self._data += value
            elif name == "id":
                self._id = value
            return ()
        kind, data, event_id = self._kind, self._data, self._id
        self._kind, self._data, self._id = "", "", None
        # A comment with an id moves on too. Whoever takes an event has the id of the one before it, until
        # he asks for the next: what he was about is not lost.
        event = _event(kind, data, event_id or "")
        if event_id:
            self.last_id = event_id
        if isinstance(event, Ready):
            self._patience.succeeded()
        return () if event is None else (event,)

    def is_stream(self, response: httpx.Response) -> bool:
        """Whether events follow; raises where something else does."""
        kind = response.headers.get("Content-Type", "")
        if response.status_code == 200 and not kind.startswith("text/event-stream"):
            raise UnexpectedAnswer(
                f"the answer is {kind or 'without a content type'} and not a stream of events; "
                "look whether the url is that of Tidegate's API",
                status=200,
            )
        return response.status_code == 200

    def refused(self, response: httpx.Response) -> float:
        """How long to wait after an answer that is no stream."""
        after_s = retry_after_s(response.headers.get("Retry-After"))
        return self.failed(error_of_answer(response.status_code, response.content, after_s))

    def ended(self) -> float:
        """How long to wait after a stream that ended."""
        return self.failed(ConnectionFailed("the event stream ended", may_have_arrived=True))

    def failed(self, error: TidegateError) -> float:
        """How long to wait before the next connection; raises the error if there is none."""
        return self._patience.wait_s(error, time.monotonic())


def _event(kind: str, data: str, event_id: str) -> Event | None:
    if kind not in ("ready", "message", "queue", "gap"):
        return None
    try:
        fields = {**decode(data.encode()), "event_id": event_id}
        if kind == "message":
            return read(MessageChanged, fields)
        if kind == "queue":
            return read(QueueChanged, fields)
        return Ready() if kind == "ready" else read(Gap, fields)
    except (ValueError, TypeError) as error:
        raise UnexpectedAnswer(f"an event of the stream cannot be read: {error}", status=200) from error
