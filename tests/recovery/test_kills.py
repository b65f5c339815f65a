"""Real SIGKILLs of real trainings, in every phase; then the same command, and the same model."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from mlsession.store import Store, open_store
from mlsession.testing.invariants import check_session
from tests.photos import copy_photos
from tests.recovery.nursery import Forked, Nursery
from tests.recovery.trainings import LABELS
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.sampled(0.4)

PHASES = ("extracting", "selecting", "evaluating")
"""Not training: the final fit begins where the fits met that were judged, and of so few photos it ends there, too.
test_signals.py and the matrices stop trainings in its midst."""


class Command:
    """`mlsession train` on one session, always with the same line."""

    def __init__(
        self, trainers: Nursery, photos: Path, session: str, cache: Path, environment: Mapping[str, str]
    ) -> None:
        self._trainers = trainers
        self._line = [
            *("train", str(photos / "train"), "--test", str(photos / "test"), "--session", session),
            *("--cache", str(cache), "--checkpoint-interval", "1", "--iterations", "12", "--json"),
        ]
        self._environment = environment

    def start(self, halt: str = "") -> Forked:
        return self._trainers.start("mlsession", *self._line, environment=self._environment, halt=halt)

    def finish(self) -> dict[str, object]:
        """Runs to the end; what the command printed as JSON."""
        child = self.start()
        assert child.wait() == 0, child.err
        status = json.loads(child.out)
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
def unbroken(trainers: Nursery, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The outcome of a run that nobody disturbed, with a cache of its own."""
    folder = tmp_path_factory.mktemp("unbroken")
    return Command(trainers, photos, str(folder / "session"), folder / "cache", {}).finish()


def run_into(command: Command, phase: str) -> Forked:
    """Starts the command, and returns once it has stopped at its first checkpoint inside `phase`."""
    child = command.start(halt=f"within {phase}")
    child.until_halted()
    return child


def kill_in(command: Command, phase: str) -> None:
    child = run_into(command, phase)
    child.send(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, f"it ended before it could be killed in {phase}"


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
    trainers: Nursery,
    place: tuple[str, dict[str, str], Store],
    photos: Path,
    tmp_path: Path,
    unbroken: dict[str, object],
) -> None:
    url, environment, store = place
    command = Command(trainers, photos, url, tmp_path / "cache", environment)
    for phase in PHASES:
        kill_in(command, phase)
        check_session(store)
    status = command.finish()
    check_session(store)
    assert status["status"] == "finished"
    assert status["model_digest"] == unbroken["model_digest"]
    assert status["metrics"] == unbroken["metrics"]


def test_a_writer_that_was_frozen_is_fenced_out(
    trainers: Nursery, photos: Path, tmp_path: Path, unbroken: dict[str, object]
) -> None:
    session = str(tmp_path / "session")
    command = Command(trainers, photos, session, tmp_path / "cache", {})
    with closing(open_store(session)) as store:
        frozen = run_into(command, "extracting")
        status = command.finish()  # Waits until the heartbeat counts as stale, then opens the session.
        frozen.send(signal.SIGCONT)
        assert frozen.wait() == 1
        assert "another writer" in frozen.err
        assert "Traceback" not in frozen.err
        check_session(store)
    assert status["model_digest"] == unbroken["model_digest"]
