"""README.md as a stranger follows it: its commands, its configuration, and each block of Python."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import PATIENCE_S, Daemon, free_port, until

from tidegate import Repeats, Tidegate

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parents[1]
README = (PACKAGE / "README.md").read_text()
EXAMPLES = PACKAGE / "examples"
PATIENT = Repeats(deadline_s=30, initial_s=0.05)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def page_as_one_file() -> str:
    return "\n".join(block for block in blocks("python") if not block.startswith("# "))


@contextmanager
def program(file: Path, *arguments: str, url: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program that runs until it is told to stop; its lines are in ``file.out``."""
    with file.with_suffix(".out").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, str(file), *arguments],
            env={**os.environ, "TIDEGATE_URL": url, **environment},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process  # type: ignore[misc]
        finally:
            process.kill()
            process.wait(PATIENCE_S)


def said(file: Path, words: str) -> str:
    out = file.with_suffix(".out")
    return until(lambda: out.read_text() if words in out.read_text() else None, f"{file.name} says {words}")


@pytest.fixture
def sink_port() -> int:
    return free_port()


@pytest.fixture
def readme_daemon(folder: Path, sink_port: int) -> Iterator[Daemon]:
    """The daemon that README configures, at ports that are free."""
    (configuration,) = blocks("toml")
    it = Daemon(folder / "d", configuration.replace(":8090", f":{sink_port}")).start()
    yield it
    it.stop()


def test_its_first_two_commands(folder: Path) -> None:
    """In a folder where nothing is installed."""
    install, send = (line.removeprefix("$ ") for line in blocks("console")[0].splitlines())
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    environment = {"PATH": f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)}
    kept = {k: v for k, v in os.environ.items() if k.startswith("PIP_")}
    daemon = Daemon(folder / "d", "[queues.demo.downstream]\ntype = 'null'\n").start()
    for command in (install, send):
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=ROOT,
            env={**environment, **kept, "TIDEGATE_URL": daemon.url},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert "is delivered after 1 attempts" in done.stdout
    daemon.stop()


def test_its_blocks_run(
    readme_daemon: Daemon,
    sink_port: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The receiver of README is the downstream of the rest; the worker prints a page."""
    monkeypatch.setenv("TIDEGATE_URL", readme_daemon.url)
    whole = [block for block in blocks("python") if block.startswith("# ")]
    files = {block.split("\n", 1)[0].removeprefix("# "): block for block in whole}
    assert sorted(files) == ["receiver.py", "worker.py"]
    for name, text in files.items():
        (folder / name).write_text(text.replace("8090", str(sink_port)))
    receiver, worker = folder / "receiver.py", folder / "worker.py"
    with program(receiver, url=readme_daemon.url), program(worker, url=readme_daemon.url) as working:
        page = Tidegate(readme_daemon.url, repeats=PATIENT).send("print", {"page": 7})
        # A second time on the same data too.
        for _ in range(2):
            exec(compile(page_as_one_file(), "README.md", "exec"), {"__name__": "readme"})
        with Tidegate(readme_daemon.url) as it:
            sent = it.send("sms", "no JSON", content_type="text/plain")
            assert it.wait_until_final(sent.id, timeout_s=20).state == "delivered"
        said(receiver, "no JSON")
        assert "Your table is ready." in said(receiver, "Your table is ready.")
        said(worker, "page 7")
        assert Tidegate(readme_daemon.url).wait_until_final(page.id, timeout_s=20).attempts == 2
        working.send_signal(signal.SIGTERM)
        assert working.wait(PATIENCE_S) == 0
    printed = capsys.readouterr().out
    for words in ("delivered Result(", "500 taken", "/delay", "points_"):
        assert printed.count(words) >= 2


def test_its_blocks_have_types(folder: Path) -> None:
    """The blocks that go on from each other are one file; the others are files of their own."""
    texts = [page_as_one_file(), *(block for block in blocks("python") if block.startswith("# "))]
    for at, text in enumerate(texts):
        file = folder / f"page_{at}.py"
        file.write_text(text)
        checked = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), str(file)],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_examples_run(readme_daemon: Daemon, sink_port: int, folder: Path) -> None:
    def run(name: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env={**os.environ, "TIDEGATE_URL": readme_daemon.url},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    copies = {each.name: folder / each.name for each in EXAMPLES.glob("*.py")}
    assert sorted(copies) == ["receiver.py", "send.py", "send_many.py", "tail.py", "worker.py"]
    for name, copy in copies.items():
        copy.write_text((EXAMPLES / name).read_text())
    secret = {"TIDEGATE_SIGNING_SECRET": "whsec_plJ3nmyCDGBKInavdOK15jsl whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    url = readme_daemon.url
    with (
        program(copies["receiver.py"], str(sink_port), url=url, **secret),
        program(copies["tail.py"], "print", url=url),
        program(copies["worker.py"], url=url) as working,
    ):
        said(copies["tail.py"], "the stream is open")
        with Tidegate(url, repeats=PATIENT) as it:
            page, bad = it.send("print", {"page": 1}), it.send("print", 5)
            said(copies["worker.py"], "page 1, attempt 1")
            assert it.wait_until_final(bad.id, timeout_s=20).reason == "the payload has no page"
        said(copies["tail.py"], f"{page.id} delivered")
        # The receiver may not listen yet at the first attempt.
        assert "is delivered" in run("send.py", "sms", "Grüße")
        said(copies["receiver.py"], "Grüße")
        (folder / "lines").write_text('{"n": 1}\n"zwei"\n3\n')
        assert run("send_many.py", "points", str(folder / "lines")) == "3 taken, 0 of them before, 0 refused\n"
        assert run("send_many.py", "points", str(folder / "lines")) == "3 taken, 3 of them before, 0 refused\n"
        assert run("send_many.py", "points").startswith("1000 taken")
        working.send_signal(signal.SIGTERM)
        assert working.wait(PATIENCE_S) == 0
