"""Every class of error, as the daemon brings it about where it can, and the fields of the problem."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import QUICK
from support import Between, Daemon, problem, program

import tidegate
from tidegate import NewMessage, ProblemError, Repeats, Tidegate
from tidegate.errors import BY_CODE, TidegateError

ROOT = Path(__file__).parents[3]
_MINUTE = timedelta(minutes=1)
MISSING = "null_01JD3A9PX2M7Q8R4T6V0W1Y2Z3"


def test_every_code_of_the_api_has_a_class() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    codes = document["components"]["schemas"]["ProblemCode"]["enum"]
    assert set(codes) == set(BY_CODE)
    for each in BY_CODE.values():
        assert getattr(tidegate, each.__name__) is each


def of_daemon() -> dict[str, Callable[[Tidegate], Any]]:
    return {
        "InvalidRequest": lambda it: it.send("null", 1, delay="soon"),
        "NotFound": lambda it: it.get(MISSING),
        "MethodNotAllowed": lambda it: it.request("PUT", "/v1/queues"),
        "WrongState": lambda it: it.requeue(it.send("null", 1, delay="1h").id),
        "TooLarge": lambda it: it.send("null", "x" * 300_000),
        "IdempotencyMismatch": lambda it: [it.send("null", n, idempotency_key="one") for n in (1, 2)],
        "CostTooLarge": lambda it: it.send("scarce", 1, cost=11),
        "WindowMissed": _missed,
        "BacklogFull": lambda it: [it.send("small", n) for n in range(3)],
        "HeadersTooLarge": lambda it: it.request("GET", "/v1/queues", query={"x": "y" * 40_000}),
    }


def _missed(it: Tidegate) -> None:
    it.pause("print", for_="2h")
    try:
        it.send("print", 1, must_dispatch_by=datetime.now().astimezone().replace(microsecond=0) + _MINUTE)
    finally:
        it.resume("print")


@pytest.mark.parametrize("name", of_daemon())
def test_the_daemon_refuses(daemon: Daemon, name: str) -> None:
    with Tidegate(daemon.url, repeats=Repeats(deadline_s=0)) as it, pytest.raises(TidegateError) as raised:
        of_daemon()[name](it)
    error = raised.value
    assert type(error).__name__ == name, error
    assert isinstance(error, ProblemError)
    assert error.status == error.problem["status"]
    assert error.code == error.problem["code"]
    assert error.detail
    assert str(error).startswith(f"{error.status} {error.code}: ")
    if name == "InvalidRequest":
        assert error.pointer == "/delay"
        assert "/delay" in str(error)
    if name == "WrongState":
        assert error.state == "scheduled"
    if name == "BacklogFull":
        assert error.retry_after_s is not None
    if name == "IdempotencyMismatch":
        assert error.idempotency_key == "one"


def test_several_faults_at_once(client: Tidegate) -> None:
    with pytest.raises(tidegate.InvalidRequest) as raised:
        client.send("null", 1, priority=12, delay="soon", headers={"X": "a\r\nX-Evil: 1"}, labels={"a": "b" * 300})
    pointers = {each.pointer for each in raised.value.errors}
    assert {"/priority", "/delay"} <= pointers
    assert any(each.startswith("/headers") for each in pointers)


CODES_OF_OTHERS = ["request-timeout", "unsupported-media-type", "internal", "store-unavailable", "store-full",
                   "too-many-listeners", "draining"]  # fmt: skip


@pytest.mark.parametrize("code", CODES_OF_OTHERS)
def test_what_the_daemon_seldom_says(between: Between, code: str) -> None:
    between.steps = [problem(BY_CODE[code].status_of_class or BY_CODE[code].__mro__[1].status_of_class, code)]  # type: ignore[attr-defined]
    with Tidegate(between.url, repeats=Repeats(deadline_s=0)) as it, pytest.raises(BY_CODE[code]):
        it.queues()


def test_the_wrong_media_type(daemon: Daemon) -> None:
    answer = httpx.post(f"{daemon.url}/v1/queues/null/messages", content=b"1", headers={"Content-Type": "text/html"})
    error = tidegate.errors.error_of_answer(answer.status_code, answer.content, None)
    assert isinstance(error, tidegate.UnsupportedMediaType)


def test_what_cannot_be_read_of_a_problem() -> None:
    odd = {"errors": ["x", {"pointer": 5}], "code": 7, "detail": None, "retry_after_s": "soon"}
    error = tidegate.errors.problem_error(400, odd)
    assert isinstance(error, tidegate.InvalidRequest)
    assert error.code is None
    assert [each.pointer for each in error.errors] == ["5"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a?b=c", "a#b", "ü", "a\r\nb", "%2e%2e"])
def test_names_lead_nowhere_else(client: Tidegate, name: str) -> None:
    for ask in (client.queue, client.get, client.cancel):
        with pytest.raises((ValueError, tidegate.NotFound, tidegate.InvalidRequest)):
            ask(name)


@pytest.mark.parametrize("payload", [float("nan"), [{"a": float("inf")}], "\ud800", object(), {1, 2}, b"x".hex])
def test_what_json_cannot_express(shaky: Tidegate, between: Between, payload: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        shaky.send("null", payload)
    with pytest.raises((ValueError, TypeError), match=r"messages\[1\]: "):
        shaky.send_many("null", [NewMessage(1), NewMessage(payload)])
    assert between.requests == []


def test_a_number_that_is_none_is_told(client: Tidegate) -> None:
    with pytest.raises(ValueError, match=r"NaN or infinite.*give None"):
        client.send("null", [float("nan")])


UNKNOWN: dict[str, Callable[[Any], Any]] = {
    '"delya": did you mean "delay"': lambda it: it.send("null", 1, delya="1s"),
    '"dueAt": did you mean "due_at"': lambda it: it.send_many("null", [NewMessage(1, dueAt="2099-01-01T00:00:00Z")]),  # type: ignore[call-arg]
    '"now": the fields are callback, collapse_key': lambda it: it.publish("order_paid", 1, now=True),
    '"maxAttempts" of retry: did you mean "max_attempts"': lambda it: it.send("null", 1, retry={"maxAttempts": 1}),
    '"uri" of callback: did you mean "url"': lambda it: it.send("null", 1, callback={"uri": "http://127.0.0.1/"}),
    '"limit": the fields are created_after, .*page_size': lambda it: it.page("null", limit=2),
    '"stat": did you mean "state"': lambda it: list(it.messages("null", stat="dead")),
}


@pytest.mark.parametrize("said", UNKNOWN)
def test_unknown_fields_are_refused_before_anything_is_sent(shaky: Tidegate, between: Between, said: str) -> None:
    with pytest.raises(TypeError, match=f"unknown field {said}"):
        UNKNOWN[said](shaky)
    assert between.requests == []


def test_what_is_no_message(shaky: Tidegate, between: Between) -> None:
    payload: Any = {"a": 1}
    with pytest.raises(TypeError, match=r"messages\[1\] is of the type dict; give NewMessage\("):
        shaky.send_many("null", [NewMessage(1), payload])
    with pytest.raises(TypeError, match=r"the message is of the type dict; give NewMessage\("):
        shaky.send_message("null", payload)
    assert between.requests == []


def test_deep_payloads(client: Tidegate) -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(tidegate.InvalidRequest):
        client.send("null", deep)
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested"):
        client.send("null", deep)
    while deep:
        deep = deep[0]


def test_a_time_without_a_zone(client: Tidegate) -> None:
    with pytest.raises(ValueError, match=r"timezone\.utc"):
        client.send("null", 1, due_at=datetime(2030, 1, 1))


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Daemon, str]]:
    """A daemon with tokens."""
    made = subprocess.run([program(), "token", "new", "shop"], capture_output=True, text=True, check=True)
    words = made.stdout.split() + made.stderr.split()
    token = next(each for each in words if each.startswith("tg_") or (len(each) > 30 and each.isalnum()))
    line = next(each for each in (made.stdout + made.stderr).splitlines() if "sha256" in each)
    line = line[line.index("{") : line.rindex("}") + 1]
    with tempfile.TemporaryDirectory(prefix="tg") as name:
        it = Daemon(Path(name), f'tokens = [{line}]\n[queues.null.downstream]\ntype = "null"\n').start()
        yield it, token
        it.stop()


def test_tokens(guarded: tuple[Daemon, str]) -> None:
    daemon, token = guarded
    with Tidegate(daemon.url, token=token, repeats=QUICK) as it:
        assert it.send("null", 1).id
        with pytest.raises(tidegate.Forbidden):
            it.queues()
    with Tidegate(daemon.url, token="wrong") as it, pytest.raises(tidegate.Unauthorized):
        it.send("null", 1)
    assert token not in repr(it.options)


def test_a_batch_refused_as_a_whole(client: Tidegate) -> None:
    with pytest.raises(tidegate.BatchInterrupted, match=r"after 0 answered messages.*nothing") as ended:
        client.send_many("nothing", [NewMessage(1)])
    assert ended.value.results == []
    assert isinstance(ended.value.__cause__, tidegate.NotFound)


def test_a_huge_message_beside_others(client: Tidegate) -> None:
    done = client.send_many("null", [NewMessage(1), NewMessage("x" * 6_000_000), NewMessage(2)])
    assert [each.index for each in done.rejected] == [1]
    assert isinstance(done.rejected[0].problem, tidegate.TooLarge)


def test_an_address_that_is_too_long(client: Tidegate) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        client.request("GET", "/v1/queues", query={"x": "y" * 70_000})
