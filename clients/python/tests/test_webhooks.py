"""Signatures: against calls that the daemon has signed, and published vectors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import NEXT_SECRET, SECRET
from support import Downstream, Received, until

from tidegate import InvalidSignature, Tidegate, Webhook

WRONG = "whsec_plJ3nmyCDGBKInavdOK15jsl"


def delivered(client: Tidegate, downstream: Downstream, queue: str) -> Received:
    sent = client.send(queue, {"text": "Grüße"})
    assert client.wait_until_final(sent.id, timeout_s=20).state == "delivered"
    return downstream.only()


def test_a_delivery_is_verified(client: Tidegate, downstream: Downstream) -> None:
    call = delivered(client, downstream, "sms")
    verified = Webhook(SECRET).verify(call.headers, call.body)
    assert verified.id == call.headers["webhook-id"]
    assert verified.json() == {"text": "Grüße"}
    assert Webhook([WRONG, SECRET]).verify(call.headers, call.body).id == verified.id
    upper = {name.upper(): value for name, value in call.headers.items()}
    assert Webhook(SECRET).verify(upper, call.body).timestamp_s == verified.timestamp_s


def test_what_is_not_right_is_refused(client: Tidegate, downstream: Downstream) -> None:
    call = delivered(client, downstream, "sms")
    webhook = Webhook(SECRET)
    at_s = int(call.headers["webhook-timestamp"])
    with pytest.raises(InvalidSignature, match="no signature"):
        Webhook(WRONG).verify(call.headers, call.body)
    with pytest.raises(InvalidSignature, match="no signature"):
        webhook.verify(call.headers, call.body + b" ")
    for changed in ({"webhook-id": "sms_x"}, {"webhook-timestamp": str(at_s + 1)}):
        with pytest.raises(InvalidSignature, match="no signature"):
            webhook.verify({**call.headers, **changed}, call.body)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        with pytest.raises(InvalidSignature, match=f"no {name}"):
            webhook.verify({k: v for k, v in call.headers.items() if k != name}, call.body)
    for now_s in (at_s - 301.0, at_s + 301.0):
        with pytest.raises(InvalidSignature, match="clock"):
            webhook.verify(call.headers, call.body, now_s=now_s)
    assert webhook.verify(call.headers, call.body, now_s=at_s + 299.0).id
    assert Webhook(SECRET, tolerance_s=1_000).verify(call.headers, call.body, now_s=at_s + 999.0).id
    for odd in ("soon", "-1", "1e9", "٣", "9" * 30, f"{at_s}.0"):
        with pytest.raises(InvalidSignature):
            webhook.verify({**call.headers, "webhook-timestamp": odd}, call.body)
    right = call.headers["webhook-signature"]
    for odd in ("v1,", "v1", right[:-2], right.replace("v1,", "v1a,"), right.removeprefix("v1,"), "v1,ü", "\udcff"):
        with pytest.raises(InvalidSignature):
            webhook.verify({**call.headers, "webhook-signature": odd}, call.body)


def test_a_secret_that_is_being_changed(client: Tidegate, downstream: Downstream) -> None:
    call = delivered(client, downstream, "rotated")
    assert call.headers["webhook-signature"].count("v1,") == 2
    for secrets in (SECRET, NEXT_SECRET, [SECRET, NEXT_SECRET], [WRONG, NEXT_SECRET]):
        assert Webhook(secrets).verify(call.headers, call.body).id
    with pytest.raises(InvalidSignature):
        Webhook([WRONG]).verify(call.headers, call.body)
    joined = {**call.headers, "webhook-signature": call.headers["webhook-signature"].replace(" ", ", ")}
    assert Webhook(SECRET).verify(joined, call.body).id


def test_a_call_that_is_not_signed(client: Tidegate, downstream: Downstream) -> None:
    call = delivered(client, downstream, "unsigned")
    with pytest.raises(InvalidSignature, match="signing_secret"):
        Webhook(SECRET).verify(call.headers, call.body)


def test_bytes_are_verified(client: Tidegate, downstream: Downstream) -> None:
    client.send("sms", b"\x00\xff", content_type="application/octet-stream")
    call = until(lambda: downstream.only(), "a call arrives")
    verified = Webhook(SECRET).verify(call.headers, call.body)
    assert (verified.body, verified.text()) == (b"\x00\xff", "\x00\ufffd")


def test_published_vectors() -> None:
    headers = {
        "webhook-id": "msg_loFOjxBNrRLzqYUf",
        "webhook-timestamp": "1731705121",
        "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    }
    body = b'{"event_type":"ping","data":{"success":true}}'
    verified = Webhook(WRONG).verify(headers, body, now_s=1731705121.0)
    assert json.loads(verified.body)["event_type"] == "ping"


def test_secrets_that_are_none() -> None:
    odds: list[str | list[str]] = ["", "whsec_", "whsec_not base64!", []]
    for odd in odds:
        with pytest.raises(ValueError, match="give"):
            Webhook(odd)
    missing: list[Any] = [None, [SECRET, None]]
    for each in missing:
        with pytest.raises(TypeError, match=r"signing_secret of the downstream.*environment variable"):
            Webhook(each)
    assert "plJ3" not in repr(Webhook(WRONG))


def test_a_body_that_was_read_as_text() -> None:
    with pytest.raises(TypeError, match="bytes as they came in"):
        Webhook(SECRET).verify({}, "{}")  # type: ignore[arg-type]
