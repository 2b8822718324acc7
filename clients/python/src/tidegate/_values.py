"""Durations, moments and JSON, as the API takes them. Knows no routes."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias
from urllib.parse import quote

Duration: TypeAlias = "timedelta | int | str"
"""A ``timedelta``, whole seconds, or a text such as ``"1h30m"``."""

Moment: TypeAlias = "datetime | str"
"""A ``datetime`` with a time zone, or a text in RFC 3339."""


def duration(value: Duration) -> str | int:
    """Writes a duration; what is a text or a number goes out as it is, and the daemon judges it."""
    if isinstance(value, timedelta):
        return f"{value // timedelta(milliseconds=1)}ms"
    return value


def seconds(wait_s: float) -> str:
    """Writes a wait of so many seconds."""
    return f"{round(max(wait_s, 0.0) * 1000)}ms"


def moment(value: Moment) -> str:
    """Writes a moment in UTC."""
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError(
            f"{value!r} has no time zone, so it is not clear which moment it means; "
            "give one, such as datetime.now(timezone.utc) + timedelta(hours=1)"
        )
    return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_moment(text: str) -> datetime:
    """Reads a moment of the API, such as ``2026-11-20T12:00:00.000Z``."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def encode(value: object) -> bytes:
    """Writes JSON in UTF-8; raises ``ValueError`` where the value has no form in JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise ValueError(
            "a text in the message has half of a surrogate pair, which UTF-8 cannot express; "
            "correct the text, or send it as bytes"
        ) from None
    except ValueError as error:
        if not str(error).startswith("Out of range float"):
            raise
        raise ValueError("a number is NaN or infinite, which JSON cannot express; give None or a text") from None
    except RecursionError:
        raise ValueError("the value is nested too deeply; Tidegate takes 100 levels, and bytes of any form") from None


def known(given: Iterable[str], names: Collection[str], within: str = "") -> None:
    """Refuses other fields than these, before anything is sent."""
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            remedy = f'did you mean "{near[0]}"?' if near else f"the fields are {', '.join(sorted(names))}"
            raise TypeError(f'unknown field "{name}"{within and f" of {within}"}: {remedy}')


def without_none(fields: Mapping[str, object]) -> dict[str, object]:
    """Leaves out what was not given."""
    return {name: value for name, value in fields.items() if value is not None}


def segment(name: str, what: str) -> str:
    """A name as one segment of a path; what would lead to another path is refused."""
    if not isinstance(name, str) or name in ("", ".", ".."):
        raise ValueError(f"{name!r} is not a {what}; give its name, such as the one in the configuration")
    return quote(name, safe="~")


def decode(body: bytes) -> Any:
    """Reads JSON; raises ``ValueError`` where it is none."""
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
