"""What a producer does: send, wait, list, change; both clients, on a real daemon."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest
from support import Daemon, Downstream, until

from tidegate import (
    AsyncTidegate,
    InvalidRequest,
    NewMessage,
    NotFinal,
    NotFound,
    Tidegate,
    WrongState,
)


def test_send_and_wait(client: Tidegate, downstream: Downstream) -> None:
    sent = client.send("sms", {"to": "+4915112345678", "text": "Grüße"})
    assert sent.queue == "sms"
    assert sent.idempotency_key
    assert not sent.duplicate
    done = client.wait_until_final(sent.id, timeout_s=20)
    assert (done.state, done.attempts, done.is_final) == ("delivered", 1, True)
    assert done.result is not None
    assert done.result.status_code == 200
    assert done.created_at.tzinfo is not None
    call = downstream.only()
    assert call.body.decode() == '{"to":"+4915112345678","text":"Grüße"}'
    assert [each.outcome for each in client.attempts(sent.id)] == ["delivered"]


async def test_send_and_wait_in_an_event_loop(async_client: AsyncTidegate) -> None:
    sent = await async_client.send("null", 1)
    done = await async_client.wait_until_final(sent.id, timeout_s=20)
    assert done.state == "delivered"
    assert (await async_client.attempts(sent.id))[0].attempt == 1


def test_every_field_of_a_message(client: Tidegate) -> None:
    due = datetime.now(timezone.utc) + timedelta(hours=2)
    sent = client.send(
        "sms",
        "hello",
        content_type="text/plain",
        headers={"X-Shop": "berlin"},
        due_at=due,
        expires_at=due + timedelta(hours=1),
        priority=5,
        group="customer-7",
        labels={"shop": "münchen"},
        idempotency_key=f"ключ-{uuid.uuid4()}",
        retry={"max_attempts": 3, "schedule": [timedelta(milliseconds=1500), "5s", 60]},
        timeout=timedelta(seconds=2),
        cost=2,
        time_zone="Europe/Berlin",
        callback={"url": "http://127.0.0.1:1/hook", "on": ["dead"]},
    )
    shown = client.get(sent.id, view="full")
    assert shown.payload == "hello"
    assert shown.headers == {"x-shop": "berlin"}
    assert abs(shown.due_at - due) < timedelta(milliseconds=2)
    assert (shown.priority, shown.group, shown.labels) == (5, "customer-7", {"shop": "münchen"})
    assert (shown.cost, shown.content_type, shown.state) == (2, "text/plain", "scheduled")
    assert shown.raw["timeout"] == "2s"
    assert shown.raw["retry"]["max_attempts"] == 3
    assert shown.held_by == ["due"]
    assert client.cancel(sent.id).state == "cancelled"
    assert client.cancel(sent.id).state == "cancelled"


def test_bytes_and_text(client: Tidegate, downstream: Downstream) -> None:
    image = bytes(range(256))
    sent = client.send("sms", image, content_type="image/png", delay="1h")
    assert client.get(sent.id, view="full").payload == image
    client.run(sent.id)
    assert client.wait_until_final(sent.id, timeout_s=20).state == "delivered"
    assert downstream.only().body == image
    downstream.received.clear()
    sent = client.send("sms", "Zeile ✓", content_type="text/plain; charset=utf-8")
    client.wait_until_final(sent.id, timeout_s=20)
    assert downstream.only().body.decode() == "Zeile ✓"


def test_a_message_with_its_own_url(client: Tidegate, downstream: Downstream) -> None:
    sent = client.send("hooks", {"a": 1}, url=f"{downstream.url}/own", method="PUT")
    assert client.wait_until_final(sent.id, timeout_s=20).state == "delivered"
    assert downstream.only().path == "/own"


def test_the_same_key_takes_one_message(client: Tidegate) -> None:
    message = NewMessage({"order": 1})
    first = client.send_message("null", message)
    again = client.send_message("null", message)
    assert (again.id, again.duplicate) == (first.id, True)
    assert client.send("null", {"order": 1}).id != first.id
    found = list(client.messages("null", idempotency_key=message.idempotency_key or ""))
    assert [each.id for each in found] == [first.id]


def test_changes(client: Tidegate) -> None:
    sent = client.send("sms", {"n": 1}, delay="2h")
    later = client.reschedule(sent.id, delay=timedelta(hours=3))
    assert later.due_at > sent.due_at
    edited = client.edit(sent.id, priority=9, expires_at=later.due_at + timedelta(hours=1))
    assert edited.priority == 9
    assert edited.expires_at is not None
    assert client.edit_payload(sent.id, {"n": 2}).raw["edited"] is True
    assert client.get(sent.id, view="full").payload == {"n": 2}
    client.cancel(sent.id)
    with pytest.raises(WrongState) as refused:
        client.run(sent.id)
    assert refused.value.state == "cancelled"
    client.requeue(sent.id)
    assert client.wait_until_final(sent.id, timeout_s=20).state == "delivered"


async def test_changes_in_an_event_loop(async_client: AsyncTidegate) -> None:
    sent = await async_client.send("sms", {"n": 1}, delay=timedelta(hours=2))
    await async_client.edit(sent.id, priority=3)
    await async_client.edit_payload(sent.id, {"n": 2})
    await async_client.reschedule(sent.id, due_at=datetime.now(timezone.utc) + timedelta(hours=4))
    await async_client.cancel(sent.id)
    await async_client.requeue(sent.id)
    assert (await async_client.wait_until_final(sent.id, timeout_s=20)).state == "delivered"
    late = await async_client.send("sms", 1, delay=3600)
    await async_client.run(late.id)
    assert (await async_client.get(late.id, wait_s=20)).state == "delivered"


def test_a_dead_message_is_resolved_by_requeue(client: Tidegate, downstream: Downstream) -> None:
    downstream.status = 422
    sent = client.send("sms", {"to": "nobody"})
    dead = client.wait_until_final(sent.id, timeout_s=20)
    assert (dead.state, dead.last_attempt and dead.last_attempt.status_code) == ("dead", 422)
    with pytest.raises(WrongState):
        client.resolve(sent.id, "delivered", reason="found in their log")
    downstream.status = 200
    client.requeue(sent.id)
    assert client.wait_until_final(sent.id, timeout_s=20).state == "delivered"


def test_a_wait_that_is_too_short(client: Tidegate) -> None:
    sent = client.send("null", 1, delay="1h")
    with pytest.raises(NotFinal, match="held by due") as raised:
        client.wait_until_final(sent.id, timeout_s=0.3)
    assert raised.value.message.state == "scheduled"


def test_many_messages_and_each_is_judged(client: Tidegate) -> None:
    label = uuid.uuid4().hex
    messages = [NewMessage({"n": n}, labels={"run": label}, delay="1h") for n in range(2_500)]
    messages.insert(3, NewMessage({"n": -1}, priority=77))
    done = client.send_many("null", messages)
    assert len(done.results) == 2_501
    assert [each.index for each in done.results] == list(range(2_501))
    assert [each.index for each in done.rejected] == [3]
    fault = done.rejected[0].problem
    assert isinstance(fault, InvalidRequest)
    assert fault.pointer == "/priority"
    again = client.send_many("null", messages)
    assert all(each.duplicate for each in again.accepted)
    assert [each.id for each in again.accepted] == [each.id for each in done.accepted]

    listed = list(client.messages("null", label={"run": label}, state=["scheduled", "ready"], page_size=1_000))
    assert {each.id for each in listed} == {each.id for each in done.accepted}
    page = client.page("null", state="scheduled", page_size=10)
    assert len(page.messages) == 10
    assert page.next_cursor
    assert client.send_many("null", []).results == []


async def test_many_messages_in_an_event_loop(async_client: AsyncTidegate) -> None:
    label = uuid.uuid4().hex
    done = await async_client.send_many("null", (NewMessage(n, labels={"run": label}, delay="1h") for n in range(30)))
    assert len(done.accepted) == 30

    async def more() -> AsyncIterator[NewMessage]:
        for n in range(10_003):
            yield NewMessage(n)

    many = await async_client.send_many("null", more())
    assert [each.index for each in many.accepted] == list(range(10_003))
    listed = [
        each.id async for each in async_client.messages("null", label={"run": label}, state="scheduled", page_size=7)
    ]
    assert sorted(listed) == sorted(each.id or "" for each in done.results)


def test_publish(client: Tidegate) -> None:
    event = client.publish("order_paid", {"order": 42}, group="customer-7")
    assert {each.queue for each in event.messages} == {"null", "other"}
    until(lambda: client.get(event.messages[0].id, wait_s=5).is_final, "the first is delivered")
    with pytest.raises(NotFound):
        client.publish("nothing", 1)


def test_queues(client: Tidegate) -> None:
    assert "night" in [each.name for each in client.queues()]
    paused = client.pause("night", for_=timedelta(minutes=5), reason="stocktaking")
    assert paused.paused is not None
    assert paused.sending.state == "paused"
    held = client.send("night", 1)
    assert client.get(held.id).held_by == ["pause"]
    assert client.resume("night").resumed
    assert client.wait_until_final(held.id, timeout_s=20).state == "delivered"
    assert client.queue("night").counts["delivered"] >= 1
    assert client.pause("night", until="2099-01-01T00:00:00Z").paused
    client.resume("night")


async def test_queues_in_an_event_loop(async_client: AsyncTidegate) -> None:
    assert "other" in [each.name for each in await async_client.queues()]
    await async_client.pause("other", for_="1m")
    assert (await async_client.resume("other")).resumed
    assert (await async_client.queue("other")).sending.state == "open"
    assert (await async_client.publish("order_paid", 1)).id
    assert (await async_client.page("other", page_size=1)).of >= 0


def test_other_routes(client: Tidegate) -> None:
    assert isinstance(client.request("GET", "/v1/doctor")["findings"], list)
    assert client.request("GET", "/v1/queues/night/windows", query={"days": "3"})["time_zone"] == "UTC"
    with pytest.raises(ValueError, match="header"):
        client.request("POST", "/v1/schedules/x/run", idempotency_key="a\r\nX-Evil: 1")


async def test_other_routes_in_an_event_loop(async_client: AsyncTidegate) -> None:
    assert "queues" in await async_client.request("GET", "/v1/queues")


def test_settings_come_from_the_environment(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_URL", f"{daemon.url}/")
    with Tidegate() as it:
        assert it.queue("null").name == "null"
    monkeypatch.setenv("TIDEGATE_TOKEN", "abc\n")
    with pytest.raises(ValueError, match=r"\.strip"):
        Tidegate()
    with pytest.raises(ValueError, match="http://127"):
        Tidegate("localhost:7411", token="x")
