"""Real SIGKILLs of real worker processes at random moments; then other worlds go on, and come to the same model."""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import pytest

from mlsession.clock import SystemClock
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Outcome, Record
from mlsession.session.opening import open_session, repeating
from mlsession.session.stop import HANDED_OVER, request_stop
from mlsession.store import LocalStore
from mlsession.testing.invariants import check_session
from tests.recovery.nursery import Forked, Nursery
from tests.recovery.trainings import Training, newest_record, prepared_photos

SEED = 20261122


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_photos(tmp_path_factory.mktemp("photos"))


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(
    trainers: Nursery,
    session: Path,
    size: int,
    *words: str,
    cramped: Mapping[int, str] = MappingProxyType({}),
    restarts: int = 0,
    halt: str = "",
) -> list[Forked]:
    """The workers of a world, by rank; what a launcher would tell them is told by hand.

    `cramped` ranks have less memory than they need, see cramped.py; so often they were started again by now. Rank 0
    stops in its tracks where `halt` says, see halting.py.
    """
    where = {
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(size)},
        "TORCHELASTIC_RESTART_COUNT": str(restarts),
    }
    line = ("worker", str(session), "--cache", "none", "--checkpoint-interval", "1", *words)
    script = str(Path(__file__).with_name("cramped.py"))
    return [
        trainers.start(
            script if rank in cramped else "mlsession",
            *line,
            environment={**where, "RANK": str(rank), "CRAMPED": cramped.get(rank, "")},
            halt=halt if rank == 0 else "",
        )
        for rank in range(size)
    ]


def opened_last(store: LocalStore) -> Record:
    state = Journal(store).load()
    assert state is not None
    return state.timeline.opened


def newest_number(store: LocalStore) -> int:
    newest = newest_record(store)
    return 0 if newest is None else newest.number


def commits(session: Path) -> list[tuple[object, ...]]:
    """All that was saved, without what names the attempt."""
    with closing(LocalStore(session)) as store:
        journal = Journal(store)
        state = journal.load()
        assert state is not None
        return [
            (entry.phase, entry.iteration, dict(entry.metrics), entry.state.sha256, [ref.sha256 for ref in entry.adds])
            for entry in journal.checkpoints(state.timeline)
        ]


@pytest.fixture(scope="module")
def alone(trainers: Nursery, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """What one process saves that nobody disturbs."""
    session = tmp_path_factory.mktemp("alone") / "session"
    Training(trainers, photos, session).finish()
    return commits(session)


@pytest.mark.sampled(0.4)
def test_workers_that_are_stopped_or_killed_lose_nothing(
    trainers: Nursery, photos: Path, tmp_path: Path, alone: object
) -> None:
    """First all get a signal, then one rank is killed after a random record; a single process ends the work."""
    print(f"seed {SEED}")  # noqa: T201
    generator, session = random.Random(SEED), tmp_path / "session"
    assert Training(trainers, photos, session, "--create-only").end()[0] == 0
    store, workers = LocalStore(session), start(trainers, session, 2, halt="within extracting")
    workers[0].until_halted()
    for worker in reversed(workers):
        worker.send(signal.SIGTERM, signal.SIGTERM)  # As a launcher and a batch system do.
    workers[0].send(signal.SIGCONT)
    assert [worker.wait() for worker in workers] == [75, 0]
    newest = newest_record(store)
    assert newest is not None
    assert newest.body["outcome"] == "interrupted"

    victim, wanted = generator.randrange(2), newest.number + generator.randint(2, 4)
    workers = start(trainers, session, 2, halt=f"numbered {wanted}")
    workers[0].until_halted()
    workers[victim].send(signal.SIGKILL)
    workers[0].send(signal.SIGCONT)
    codes = [worker.wait() for worker in workers]
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] == 75
    assert "Traceback" not in workers[1 - victim].err

    assert [worker.wait() for worker in start(trainers, session, 1)] == [0]
    check_session(store)
    assert commits(session) == alone


@pytest.mark.sampled(0.4)
def test_workers_that_are_stopped_while_they_are_started_again_stop(
    trainers: Nursery, photos: Path, tmp_path: Path
) -> None:
    """Nobody has the session open in that moment. Who trains it later on was not asked."""
    session = tmp_path / "session"
    assert Training(trainers, photos, session, "--create-only").end()[0] == 0
    store, (worker,) = LocalStore(session), start(trainers, session, 1, halt="within extracting")
    worker.until_halted()
    worker.send(signal.SIGKILL)
    worker.wait()
    code, out, _ = trainers.run("mlsession", "stop", session, "--reason", "enough")
    assert (code, "is not running: interrupted" in out) == (0, True)

    (again,) = start(trainers, session, 1, restarts=1)
    assert again.wait() == 75, again.err
    newest = newest_record(store)
    assert newest is not None
    assert (newest.body["outcome"], newest.body["reason"]) == ("paused", "enough")
    (later,) = start(trainers, session, 1)
    assert later.wait() == 0, later.err
    check_session(store)


@pytest.mark.sampled(0.4)
def test_workers_of_a_later_job_heed_no_stop_of_an_earlier_one(trainers: Nursery, photos: Path, tmp_path: Path) -> None:
    """Even where their launcher starts them again before they have ever opened the session."""
    session = tmp_path / "session"
    assert Training(trainers, photos, session, "--create-only").end()[0] == 0
    store = LocalStore(session)
    # This process is older than what starts the workers, so it was none of theirs.
    writer, _ = open_session(store, SystemClock(), repeating(opened_last(store), 20.0), lambda event: None)
    writer.close(Outcome.INTERRUPTED, "a machine that had to go")
    request_stop(store, writer.opening, "enough")
    (again,) = start(trainers, session, 1, restarts=1)
    assert again.wait() == 0, again.err


@pytest.mark.sampled(0.4)
def test_without_rank_0_all_are_to_be_started_again(trainers: Nursery, photos: Path, tmp_path: Path) -> None:
    """How an earlier attempt has ended says nothing of this one, which was killed before it opened the session."""
    session = tmp_path / "session"
    assert Training(trainers, photos, session, "--create-only").end()[0] == 0
    store = LocalStore(session)
    writer, _ = open_session(store, SystemClock(), repeating(opened_last(store), 20.0), lambda event: None)
    writer.close(Outcome.PAUSED, f"{HANDED_OVER} 3 worker processes")
    workers = start(trainers, session, 3, cramped={0: "0 joined"})
    assert [worker.wait() for worker in workers] == [-signal.SIGKILL, 75, 75]
    assert newest_number(store) == opened_last(store).number + 1


@pytest.mark.sampled(0.4)
def test_two_launchers_start_all_workers_again_when_one_dies(trainers: Nursery, tmp_path: Path) -> None:
    """Two nodes on one machine, which share but a rendezvous; benchmarks/worlds.py trains so."""
    port, script = str(free_port()), str(Path(__file__).with_name("launcher.py"))
    launchers = trainers.start(script, port, tmp_path)
    assert launchers.wait() == 0, launchers.err
    first, *leaders = ((tmp_path / name).read_text() for name in ("first", "0", "1"))
    assert leaders[0] == leaders[1] != first


@pytest.mark.sampled(0.4)
def test_a_training_starts_its_workers(trainers: Nursery, photos: Path, tmp_path: Path, alone: object) -> None:
    """By the real launcher of torchrun; benchmarks/worlds.py kills and signals what it starts."""
    found = Training(trainers, photos, tmp_path / "session", "--devices", "2").finish()
    assert found["status"] == "finished"
    assert commits(tmp_path / "session") == alone
