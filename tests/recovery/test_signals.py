"""Signals of all kinds, at all moments, from all senders: saved at the next safe point, exit code 75, nothing lost.

`benchmarks/signal_matrix.py` runs every case of which these tests draw a sample.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlsession.clock import SystemClock
from mlsession.job.signals import SIGNALS
from mlsession.randomness import keyed_generator
from mlsession.session.opening import require_session
from mlsession.session.watching.liveness import ProcessIdentity
from mlsession.session.writer import SessionWriter
from mlsession.store.local import LocalStore
from mlsession.testing.invariants import check_session, stored_bytes
from tests.recovery.nursery import REPOSITORY, SECONDS, Forked, Nursery
from tests.recovery.signalling import LIMIT, TOO_LATE, cases, check_case, unbroken
from tests.recovery.trainings import PHASES, Training, prepared_photos

SEED = 4
NUM_CASES = 8
SLOW = ("--limit", str(LIMIT), "--pause", "0.25", "--interval", "1")
"""Three seconds, so that whoever is kept waiting by a busy machine still finds it at work."""


@pytest.fixture(scope="module")
def expected(walkers: Nursery, tmp_path_factory: pytest.TempPathFactory) -> str:
    return unbroken(walkers, tmp_path_factory.mktemp("unbroken"))


@pytest.mark.sampled(0.4)
@pytest.mark.parametrize("number", range(NUM_CASES))
def test_any_signals_at_any_moment(walkers: Nursery, tmp_path: Path, expected: str, number: int) -> None:
    every = cases()
    case = every[int(keyed_generator(SEED, "case", number).integers(len(every)))]
    print(f"seed {SEED}, case {number}: {case}")  # noqa: T201
    assert check_case(walkers, tmp_path / "session", case, expected) <= 1


@pytest.mark.parametrize("moment", TOO_LATE)
def test_a_signal_that_comes_too_late_changes_nothing(
    walkers: Nursery, tmp_path: Path, expected: str, moment: str
) -> None:
    code, output, _ = walkers.run("walk", tmp_path / "session", "--at", moment, "--signals", "SIGTERM")
    assert (code, output.splitlines()[-1]) == (0, expected.splitlines()[-1])


@pytest.mark.parametrize("moment", ["before put blobs/ 2", "before create log/0000000002"])
def test_a_store_that_hangs_is_left_after_the_grace_time(
    walkers: Nursery, tmp_path: Path, expected: str, moment: str
) -> None:
    hanging = ("--at", moment, "--signals", "SIGTERM", "--hang", "--grace", "0.2")
    code, _, errors = walkers.run("walk", tmp_path / "session", *hanging)
    assert code == 75
    assert errors.splitlines()[-1].startswith("stopped: ")
    assert check_session(LocalStore(tmp_path / "session")) is not None
    assert walkers.run("walk", tmp_path / "session")[1] == expected


def test_a_wait_for_an_earlier_writer_ends_and_fences_nobody_out(walkers: Nursery, tmp_path: Path) -> None:
    assert walkers.run("walk", tmp_path / "session", "--limit", "3")[0] == 0
    store = LocalStore(tmp_path / "session")
    _open_elsewhere(store)
    before = stored_bytes(store)
    waiting = ("--stale-after", str(SECONDS), "--at", "before get heartbeat/ 2", "--signals", "SIGUSR1")
    code, _, errors = walkers.run("walk", tmp_path / "session", *waiting)
    assert code == 75
    assert errors.splitlines()[-1] == "stopped: signal SIGUSR1"
    assert stored_bytes(store) == before


def _open_elsewhere(store: LocalStore) -> None:
    """As a process of another machine would, which shows no sign of life."""
    state = require_session(store)
    writer = SessionWriter(store, SystemClock(), state, "f" * 32)
    body = {**state.timeline.opened.body, "process": ProcessIdentity(host="elsewhere", pid=1).to_json()}
    writer.open(body)


def test_a_process_that_was_stopped_hears_it_when_it_goes_on(walkers: Nursery, tmp_path: Path, expected: str) -> None:
    session = tmp_path / "session"
    child = _begun(walkers, session)
    child.send(signal.SIGSTOP, signal.SIGTERM, signal.SIGCONT)  # As a batch system cancels a suspended job.
    assert child.wait() == 75
    assert _reason(session) == "signal SIGTERM"
    child = _begun(walkers, session)
    child.send(signal.SIGTSTP, signal.SIGCONT)  # Ctrl-Z, then `fg`.
    assert child.wait() == 0
    assert child.out == expected


def test_nohup_stays_in_force(tmp_path: Path, expected: str) -> None:
    process = _walker("nohup", sys.executable, "-m", "tests.recovery.walker", str(tmp_path / "session"), *SLOW)
    _until_opened(tmp_path / "session")
    process.send_signal(signal.SIGHUP)
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert output.endswith(expected)
    assert "stopping" not in errors


def test_a_terminal_that_is_closed_saves(tmp_path: Path, expected: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(REPOSITORY)
        line = [sys.executable, "-m", "tests.recovery.walker", str(tmp_path / "session"), *SLOW]
        os.execve(line[0], line, {**os.environ, "TERM": "xterm"})
    _until_opened(tmp_path / "session")
    os.close(terminal)  # Its foreground process gets a SIGHUP, and can say no more.
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 75
    assert _reason(tmp_path / "session") == "signal SIGHUP"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_under_timeout_which_sends_it_twice(tmp_path: Path, expected: str, name: str) -> None:
    walker = (sys.executable, "-m", "tests.recovery.walker", str(tmp_path / "session"), *SLOW)
    process = _walker("timeout", "--preserve-status", "-s", name, "-k", str(SECONDS), str(SECONDS), *walker)
    _until_opened(tmp_path / "session")
    process.send_signal(signal.SIGALRM)  # To `timeout`, time is up.
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 75
    assert errors.splitlines()[-1] == f"stopped: signal {name}"
    assert _reason(tmp_path / "session") == f"signal {name}"


def test_ctrl_c_reaches_a_whole_group(walkers: Nursery, tmp_path: Path) -> None:
    child = _begun(walkers, tmp_path / "session")
    os.killpg(child.pid, signal.SIGINT)
    assert child.wait() == 75
    assert _reason(tmp_path / "session") == "signal SIGINT"


def test_closed_streams_do_not_end_a_training(tmp_path: Path) -> None:
    line = f"{sys.executable} -m tests.recovery.walker {tmp_path / 'session'} 2>&1 | head -c 0"
    subprocess.run(["bash", "-c", line], cwd=REPOSITORY, timeout=SECONDS, check=True)
    facts = check_session(LocalStore(tmp_path / "session"))
    assert facts is not None
    assert facts.records[-1].body["outcome"] == "finished"


def test_a_command_does_its_work_without_any_stream() -> None:
    line = f"{sys.executable} -m mlsession extractors <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], cwd=REPOSITORY, timeout=SECONDS).returncode == 0


def test_the_command_saves_in_every_phase_and_goes_on(trainers: Nursery, tmp_path: Path) -> None:
    photos = prepared_photos(tmp_path / "photos")
    exporting = ("--export", str(tmp_path / "model" / "fruit.mlmodel"))
    training = Training(trainers, photos, tmp_path / "session")
    print(f"seed {SEED}")  # noqa: T201
    stopped: list[str] = []
    for place, number in enumerate(keyed_generator(SEED, "command").permutation(SIGNALS)[: len(PHASES)]):
        if stopped and PHASES.index(stopped[-1]) >= place:
            continue  # On a busy machine it was further than this before it heard the signal.
        child = training.start(halt=" ".join(("within", *PHASES[place:])))
        child.until_halted()
        child.send(signal.Signals(number), signal.SIGTERM, signal.SIGCONT)
        _check_stopped(child, signal.Signals(number))
        facts = check_session(training.store)
        assert facts is not None
        assert facts.records[-1].body["outcome"] == "interrupted"
        assert facts.checkpoints[-1].number == facts.records[-1].number - 1
        stopped.append(facts.checkpoints[-1].phase)
    child = Training(trainers, photos, tmp_path / "session", *exporting).start()
    child.until(lambda: "exporting" in child.err)
    child.send(signal.SIGTERM, signal.SIGTERM)
    _check_stopped(child, signal.SIGTERM)
    assert list((tmp_path / "model").glob("*")) == []
    unbroken = Training(trainers, photos, tmp_path / "unbroken").finish()
    assert training.finish()["model_digest"] == unbroken["model_digest"]


def _check_stopped(child: Forked, number: signal.Signals) -> None:
    assert child.wait() == 75, child.err
    said = child.err.splitlines()[-2:]
    assert said[0] == f"stopped: signal {number.name}"
    assert said[1].startswith("to go on: ")


def _walker(*line: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        line,
        cwd=REPOSITORY,
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _begun(walkers: Nursery, session: Path) -> Forked:
    """A walker at work."""
    records = _num_records(session)
    child = walkers.start("walk", session, *SLOW)
    child.until(lambda: _num_records(session) > records + 1)
    return child


def _num_records(session: Path) -> int:
    return sum(1 for _ in LocalStore(session).list("log"))


def _until_opened(session: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while _num_records(session) < 3:
        assert time.monotonic() < deadline, "the session was not opened"
        time.sleep(0.005)


def _reason(session: Path) -> object:
    facts = check_session(LocalStore(session))
    assert facts is not None
    return facts.records[-1].body["reason"]
