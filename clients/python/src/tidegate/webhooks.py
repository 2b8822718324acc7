"""Verifies calls that Tidegate has signed: deliveries, callbacks and probes (Standard Webhooks).

Knows no web framework: give it the headers and the bytes of the body.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tidegate._values import decode
from tidegate.errors import InvalidSignature

_PREFIX = "whsec_"
_VERSION = "v1,"
TOLERANCE_S = 300


class Headers(Protocol):
    """The headers of a call, as every framework has them: a ``dict``, or what has its ``items``."""

    def items(self) -> Iterable[tuple[str, Any]]: ...


@dataclass(frozen=True)
class Call:
    """A call whose signature is right."""

    id: str
    """The same on every attempt: keep it, and do nothing where it was seen before."""
    timestamp_s: int
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON."""
        return decode(self.body)

    def text(self) -> str:
        """The body as text; what is not UTF-8 has replacement characters in its place."""
        return self.body.decode("utf-8", "replace")


class Webhook:
    """The secrets of one downstream. Several are given while one is being changed; any of them counts."""

    def __init__(self, secrets: str | Iterable[str], *, tolerance_s: int = TOLERANCE_S) -> None:
        given = [secrets] if secrets is None or isinstance(secrets, str) else list(secrets)
        if not given:
            raise ValueError("no secret was given; give the signing_secret of the downstream")
        self._keys = [_key(secret) for secret in given]
        self._tolerance_s = tolerance_s

    def verify(self, headers: Headers, body: bytes, *, now_s: float | None = None) -> Call:
        """The call, if it is signed with one of the secrets, and not long ago; else ``InvalidSignature``."""
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"the body is {type(body).__name__}; give the bytes as they came in, since the signature is over them"
            )
        body = bytes(body)
        found: dict[str, str] = {}
        for name, value in headers.items():
            # One that is given twice is one with a blank between: right for signatures, and for others wrong.
            found[name.lower()] = f"{found[name.lower()]} {value}" if name.lower() in found else str(value)
        message_id = _required(found, "webhook-id")
        timestamp = _required(found, "webhook-timestamp")
        signatures = _required(found, "webhook-signature")
        timestamp_s = self._fresh(timestamp, time.time() if now_s is None else now_s)
        if not self._is_signed(f"{message_id}.{timestamp}.".encode("utf-8", "replace") + body, signatures):
            raise InvalidSignature(
                "no signature of the call fits the secrets; compare them with signing_secret of the downstream, "
                "and give the body as it came in"
            )
        return Call(message_id, timestamp_s, body)

    def _fresh(self, timestamp: str, now_s: float) -> int:
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 15):
            raise InvalidSignature("webhook-timestamp is not a number of seconds since 1970")
        timestamp_s = int(timestamp)
        if abs(now_s - timestamp_s) > self._tolerance_s:
            raise InvalidSignature(
                f"webhook-timestamp is {abs(now_s - timestamp_s):.0f} s away from the clock of this machine, "
                f"more than {self._tolerance_s} s: the call is old or repeated by somebody, or the clock is wrong"
            )
        return timestamp_s

    def _is_signed(self, content: bytes, signatures: str) -> bool:
        # Several headers of this name are joined with commas by most servers.
        given = [each.rstrip(",") for each in signatures.split() if each.startswith(_VERSION)]
        is_signed = False
        # All of them, in constant time, so that nobody learns from the time how near a guess was.
        for key in self._keys:
            mac = hmac.new(key, content, hashlib.sha256).digest()
            right = _VERSION.encode() + base64.b64encode(mac)
            for each in given:
                is_signed |= hmac.compare_digest(right, each.encode("utf-8", "replace"))
        return is_signed


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise InvalidSignature(f"the call has no {name}; it is not signed: set signing_secret of the downstream")
    return value


def _key(secret: str) -> bytes:
    """Reads ``whsec_<base64>``, or takes any other text as its bytes, as the daemon does."""
    if not isinstance(secret, str):
        raise TypeError(
            f"the secret is of the type {type(secret).__name__}; give the signing_secret of the downstream: "
            "if it comes from an environment variable, look whether that is set"
        )
    if not secret.startswith(_PREFIX):
        key = secret.encode()
    else:
        encoded = secret[len(_PREFIX) :].strip().rstrip("=")
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except binascii.Error:
            raise ValueError(
                f"a secret starts with {_PREFIX} but what follows is not base64; give it as Tidegate has it"
            ) from None
    if not key:
        raise ValueError("a secret is empty; give the signing_secret of the downstream")
    return key
