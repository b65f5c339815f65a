"""Real SIGKILLs of real trainings, in every phase; then the same command, and the same model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from mlsession.session.log.layout import record_key, record_number
from mlsession.session.log.records import Kind, Record
from mlsession.store import Store, open_store
from mlsession.testing.invariants import check_session
from tests.photos import copy_photos
from tests.servers.s3 import S3Server

LABELS = ("Banana", "Kiwi", "Lemon")
PHASES = ("extracting", "training", "evaluating")
START_SECONDS = 240
POLL_SECONDS = 0.002


class Command:
    """`mlsession train` on one session, always with the same line."""

    def __init__(self, photos: Path, session: str, cache: Path, environment: Mapping[str, str]) -> None:
        self._line = [
            *(sys.executable, "-m", "mlsession", "train", str(photos / "train")),
            *("--test", str(photos / "test"), "--session", session, "--cache", str(cache)),
            *("--checkpoint-interval", "1", "--json"),
        ]
        self._environment = {**os.environ, **environment}
        self.session = session

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._line, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def finish(self) -> dict[str, object]:
        """Runs to the end; what the command printed as JSON."""
        process = self.start()
        output, errors = process.communicate(timeout=START_SECONDS)
        assert process.returncode == 0, errors
        status = json.loads(output)
        assert isinstance(status, dict)
        return status


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """51 photos to train on and 18 to test on: several steps in each phase."""
    folder = tmp_path_factory.mktemp("recovery")
    copy_photos(folder / "train", "train", 17, LABELS)
    copy_photos(folder / "test", "test", 6, LABELS)
    return folder


@pytest.fixture(scope="module")
def unbroken(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The outcome of a run that nobody disturbed, with a cache of its own."""
    folder = tmp_path_factory.mktemp("unbroken")
    return Command(photos, str(folder / "session"), folder / "cache", {}).finish()


def newest_record(store: Store) -> Record | None:
    numbers = [number for entry in store.list("log") if (number := record_number(entry.key)) is not None]
    return Record.decode(store.get(record_key(max(numbers))), max(numbers)) if numbers else None


def is_inside(record: Record | None, phase: str) -> bool:
    """Whether the newest record is a checkpoint in the midst of a phase."""
    return (
        record is not None
        and record.kind is Kind.CHECKPOINT
        and record.body["phase"] == phase
        and record.body["ended"] is False
    )


def run_into(command: Command, store: Store, phase: str) -> subprocess.Popen[str]:
    """Starts the command and returns once a checkpoint inside `phase` is its newest record."""
    process = command.start()
    deadline = time.monotonic() + START_SECONDS
    while not is_inside(newest_record(store), phase):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            _, errors = process.communicate()
            raise AssertionError(f"the command never was inside {phase}: {errors}")
        time.sleep(POLL_SECONDS)
    return process


def kill_in(command: Command, store: Store, phase: str) -> None:
    process = run_into(command, store, phase)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it could be killed in {phase}"


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, dict[str, str], Store]]:
    """Where the session lives: its URL, the environment that reaches it, and a handle of the test's own."""
    if request.param == "local":
        url, environment, options = str(tmp_path / "session"), {}, {}
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        url = f"{server.new_bucket_url()}/sessions/fruit"
        environment, options = server.environment, server.storage_options
    with closing(open_store(url, options)) as store:
        yield url, environment, store


def test_killed_in_every_phase_it_gives_the_same_model(
    place: tuple[str, dict[str, str], Store], photos: Path, tmp_path: Path, unbroken: dict[str, object]
) -> None:
    url, environment, store = place
    command = Command(photos, url, tmp_path / "cache", environment)
    for phase in PHASES:
        kill_in(command, store, phase)
        check_session(store)
    status = command.finish()
    check_session(store)
    assert status["status"] == "finished"
    assert status["model_digest"] == unbroken["model_digest"]
    assert status["metrics"] == unbroken["metrics"]


def test_a_writer_that_was_frozen_is_fenced_out(photos: Path, tmp_path: Path, unbroken: dict[str, object]) -> None:
    session = str(tmp_path / "session")
    command = Command(photos, session, tmp_path / "cache", {})
    with closing(open_store(session)) as store:
        frozen = run_into(command, store, "extracting")
        frozen.send_signal(signal.SIGSTOP)
        status = command.finish()  # Waits until the heartbeat counts as stale, then opens the session.
        frozen.send_signal(signal.SIGCONT)
        _, errors = frozen.communicate(timeout=START_SECONDS)
        assert frozen.returncode == 1
        assert "another writer" in errors
        assert "Traceback" not in errors
        check_session(store)
    assert status["model_digest"] == unbroken["model_digest"]
