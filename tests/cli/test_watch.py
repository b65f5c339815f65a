"""`mlsession watch` and `stop`, on sessions that really run in other processes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlsession.cli.__main__ import run
from mlsession.cli.printing.narrator import note
from mlsession.errors import MLSessionError
from mlsession.events import Event, SessionClosed, SessionOpened, StopRequested, WriterLost
from mlsession.job.run import run_task
from mlsession.session.parameters import SessionParameters
from mlsession.session.stop import stop_requested
from mlsession.store import open_store
from mlsession.testing.walk import Walk
from tests.cli.commands import SECONDS, Outcome, mlsession, start
from tests.examples import runs
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.sampled(0.5)

LONG = ("--batches", "100000", "--checkpoint-interval", "20", "--pause", "0.01")


@contextmanager
def training(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The Monte Carlo example in a process of its own, well on its way; killed in the end."""
    process = runs.start(str(folder), *LONG)
    try:
        runs.wait_for_records(open_store(folder), 3, process)
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_until(process: subprocess.Popen[str], kind: str) -> list[dict[str, Any]]:
    """The events that `watch --json` prints, up to the first of a kind."""
    assert process.stdout is not None
    events: list[dict[str, Any]] = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == kind:
            return events
    raise AssertionError(f"it ended without {kind}: {events}")


def rest_of(process: subprocess.Popen[str]) -> Outcome:
    """Waits for a command of which `lines_until` has read a part: what is buffered here is not lost."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        out, err = process.stdout.read(), process.stderr.read()
        return Outcome(process.wait(SECONDS), out, err)


def test_a_watched_process_is_killed(tmp_path: Path) -> None:
    with training(tmp_path / "pi") as trainer:
        watchers = [start("watch", "pi", "--json", "--poll-seconds", "0.2", folder=tmp_path) for _ in range(2)]
        events = [lines_until(watcher, "checkpoint_committed") for watcher in watchers]
        first, second = watchers
        first.send_signal(signal.SIGINT)
        left = rest_of(first)
        assert left.code == 130
        assert left.err == "no longer watching; the session goes on\n"
        assert trainer.poll() is None  # Ctrl-C was for the watcher alone.
        trainer.kill()
        rest = rest_of(second)
    assert rest.code == 75
    assert "can be resumed" in rest.err
    told = events[1] + [json.loads(line) for line in rest.out.splitlines()]
    assert [event["number"] for event in told] == list(range(1, len(told) + 1))
    assert [event["event"] for event in told[-2:]] == ["writer_lost", "job_ended"]
    assert told[-2]["pid"] == trainer.pid
    assert told[0]["event"] == "session_opened"
    committed = [event["iteration"] for event in told if event["event"] == "checkpoint_committed"]
    assert committed == list(range(20, committed[-1] + 1, 20))
    # What a watcher that comes later sees is the same.
    late = mlsession("watch", "pi", "--json", folder=tmp_path)
    assert late.code == 75
    past = [json.loads(line) for line in late.out.splitlines()]
    assert [event["iteration"] for event in past if event["event"] == "checkpoint_committed"] == committed


def test_a_session_in_a_bucket_is_stopped_and_resumed(
    tmp_path: Path, s3_server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{s3_server.new_bucket_url()}/sessions/pi"
    options = ["--storage-option", 'client_kwargs={"endpoint_url":"' + s3_server.endpoint_url + '"}']
    for name in ("key", "secret"):
        options += ["--storage-option", f"{name}={s3_server.storage_options[name]}"]
    store = open_store(url, s3_server.storage_options)
    long = ("--batches", "1000", "--checkpoint-interval", "100", "--pause", "0.05")
    trainer = runs.start(url, *long, environment=s3_server.environment)
    try:
        runs.wait_for_records(store, 2, trainer)
        assert run(["stop", url, "--reason", "lunch", *options]) == 0
        _, errors = trainer.communicate(timeout=SECONDS)
        assert "Cancelled: another process asked this job to stop: lunch" in errors
    finally:
        trainer.kill()
        trainer.communicate()
    found = capsys.readouterr()
    assert found.out.startswith(f"stopped {url}: paused after sampling ")
    assert found.out.endswith("(another process asked this job to stop: lunch)\n")
    assert "stopping: the process that trains the session was asked to" in found.err

    # What was asked of that process is not asked of the next.
    newest = int(found.out.split("sampling ")[1].split()[0])
    short = ("--batches", str(newest + 5))
    runs.final_line(url, *short, environment=s3_server.environment)
    assert run(["stop", url, "--json", *options]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "url": url,
        "asked": False,
        "status": "finished",
        "reason": "",
        "phase": "checking",
        "iteration": 1,
    }
    assert run(["watch", url, *options]) == 0
    assert "session: finished" in capsys.readouterr().out.splitlines()
    store.close()


def test_only_asking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with training(tmp_path):
        assert run(["stop", str(tmp_path), "--no-wait", "--json"]) == 0
        assert (stop_requested(open_store(tmp_path), 1) or "").startswith("`mlsession stop` on ")
    found = json.loads(capsys.readouterr().out)
    assert (found["asked"], found["status"]) == (True, "running")


def made(folder: Path, at_3: str = "", limit: int = 6) -> Path:
    """A session that ended as said: by itself, or in turn 3 by a call of its job, or by an error."""

    def on_step(turn: int) -> None:
        if turn == 3 and at_3 == "error":
            raise ValueError("no such luck")
        if turn == 3 and at_3:
            getattr(job, at_3)("enough")

    job = run_task(Walk(limit=limit, on_step=on_step), SessionParameters(folder, checkpoint_interval=1), {})
    try:
        job.result(SECONDS)
    except (MLSessionError, ValueError):
        assert at_3
    return folder


@pytest.mark.parametrize(
    ("at_3", "code", "last", "said"),
    [
        ("", 0, "session: finished", ""),
        ("cancel", 75, "session: paused (enough)", "stopped: enough; the command that trains this session goes on\n"),
        ("interrupt", 75, "session: interrupted (enough)", "the command that trains this session goes on\n"),
        ("error", 1, "session: failed (ValueError: no such luck)", "failed: ValueError: no such luck\n"),
    ],
)
def test_what_has_ended_is_told_with_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_3: str, code: int, last: str, said: str
) -> None:
    made(tmp_path, at_3)
    assert run(["watch", str(tmp_path)]) == code
    found = capsys.readouterr()
    lines = found.out.splitlines()
    assert lines[0].startswith("session: opened by process ")
    assert lines[1] == "walking: started"
    assert lines[-1] == last
    assert found.err.endswith(said)
    assert len(found.err.splitlines()) == (code != 0)


@pytest.mark.parametrize(
    ("at_3", "said"),
    [
        ("", "is not running: finished after summing 2"),
        ("cancel", "is not running: paused after walking 3 (enough)"),
        ("error", "is not running: failed after walking 2 (ValueError: no such luck)"),
    ],
)
def test_stopping_what_does_not_run_is_no_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at_3: str, said: str
) -> None:
    made(tmp_path, at_3)
    before = sorted(tmp_path.rglob("*"))
    assert run(["stop", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path} {said}\n"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["watch", "stop"])
def test_there_is_no_session(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run([command, str(tmp_path / "nowhere")]) == 1
    assert "there is no session at" in capsys.readouterr().err
    assert run([command]) == 2
    assert run(["watch", str(tmp_path), "--poll-seconds", "0"]) == 2


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            SessionOpened(url="u", phase="training", iteration=3, host="far\x1b", pid=7),
            "process 7 on far\\x1b, going on",
        ),
        (SessionOpened(url="u", phase="initialized", iteration=0, host="far", pid=7), "opened by process 7 on far"),
        (StopRequested(opening=3, reason="x"), "was asked to"),
        (SessionClosed(outcome="paused", reason="a\nb\x1b"), "paused (a b\\x1b)"),
        (WriterLost(host="far", pid=7, reason="process 7 on far\x1b is gone"), "on far\\x1b is gone"),
    ],
)
def test_what_is_said_of_another_process_is_one_safe_line(event: Event, words: str) -> None:
    text = note(event)
    assert text is not None
    assert words in text
    assert "\n" not in text
    assert "\x1b" not in text
