"""One call that starts, resumes and returns: on a local folder, in memory, and on a real S3 server."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlsession.errors import Cancelled, ForeignFiles, IncompatibleParameters, UsageError
from mlsession.events import CheckpointCommitted, JobFinished, PhaseStarted, SessionCreated, SessionOpened
from mlsession.job.run import SessionPlace, run_task
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.session.watching.status import Status
from mlsession.store import open_store
from mlsession.testing.invariants import check_session, stored_bytes
from mlsession.testing.walk import Walk
from tests.servers.s3 import S3Server
from tests.session.attempts import unbroken
from tests.session.one_phase import OnePhase

SECONDS = 120
TASK = Walk(limit=10)


@dataclass(frozen=True)
class Where:
    url: str
    storage_options: dict[str, object] = field(default_factory=dict)

    def parameters(self, interval: int = 3) -> SessionParameters:
        return SessionParameters(self.url, checkpoint_interval=interval, storage_options=self.storage_options)

    def check(self) -> dict[str, bytes]:
        store = open_store(self.url, self.storage_options)
        try:
            assert check_session(store) is not None
            return stored_bytes(store)
        finally:
            store.close()


@pytest.fixture(params=["local", "memory", "s3"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Where]:
    name = f"session-{uuid.uuid4().hex}"
    match request.param:
        case "local":
            yield Where(str(tmp_path / "deep" / name))
        case "memory":
            yield Where(f"memory://{name}")
        case _:
            server: S3Server = request.getfixturevalue("s3_server")
            yield Where(f"{server.new_bucket_url()}/deep/{name}", server.storage_options)


def test_start_pause_resume_extend_return(where: Where) -> None:
    job = run_task(
        Walk(limit=10, on_step=lambda turn: job.cancel("enough") if turn == 5 else None), where.parameters(), {}
    )
    with pytest.raises(Cancelled, match="enough"):
        job.result(SECONDS)
    created = next(iter(job.events()))
    assert created == SessionCreated(url=job_url(where), number=1, date=created.date)
    where.check()

    again = run_task(Walk(limit=8), where.parameters(interval=7), {})
    assert again.result(SECONDS) == unbroken(Walk(limit=8))
    kinds = [event for event in again.events() if isinstance(event, SessionOpened | PhaseStarted)]
    assert [event.iteration for event in kinds] == [5, 5, 0]
    where.check()

    longer = run_task(Walk(limit=9), where.parameters(), {})
    assert longer.result(SECONDS) == unbroken(Walk(limit=9))
    before = where.check()

    done = run_task(Walk(limit=9), where.parameters(), {})
    assert done.result(SECONDS) == longer.result()
    assert [type(event) for event in done.events()] == [JobFinished]
    assert where.check() == before

    with TrainingSession(SessionPlace.of(where.parameters()).open, where.parameters()) as session:
        assert session.status is Status.FINISHED
        assert session.url == job_url(where)
        urls = [checkpoint.url for checkpoint in session.checkpoints]
        assert all(url.startswith(f"{where.url}/log/") for url in urls)
    committed = [event.url for event in longer.events() if isinstance(event, CheckpointCommitted)]
    assert urls[-len(committed) :] == committed


def job_url(where: Where) -> str:
    store = open_store(where.url, where.storage_options)
    try:
        return store.url
    finally:
        store.close()


def test_a_session_of_another_task_or_of_other_parameters_is_refused(tmp_path: Path) -> None:
    where = Where(str(tmp_path))
    run_task(TASK, where.parameters(), {"seed": 0}).result(SECONDS)
    before = where.check()
    with pytest.raises(UsageError, match="session of task 'walk', not 'one'; choose another folder"):
        run_task(OnePhase(), where.parameters(), {"seed": 0}).result(SECONDS)
    with pytest.raises(IncompatibleParameters, match="seed was 0 when this session was made and is 1 now; go back"):
        run_task(TASK, where.parameters(), {"seed": 1}).result(SECONDS)
    assert where.check() == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"meow")
    with pytest.raises(ForeignFiles, match=r"holds cat\.jpg"):
        run_task(TASK, SessionParameters(tmp_path), {}).result(SECONDS)
    assert [path.name for path in tmp_path.iterdir()] == ["cat.jpg"]


def test_without_a_folder_the_session_is_temporary_and_says_so() -> None:
    job = run_task(TASK, SessionParameters(), {})
    assert job.result(SECONDS) == unbroken(TASK)
    created = next(event for event in job.events() if isinstance(event, SessionCreated))
    try:
        assert created.temporary
        Where(created.url).check()
    finally:
        shutil.rmtree(created.url)


def test_a_folder_that_was_named_is_not_temporary(tmp_path: Path) -> None:
    job = run_task(TASK, SessionParameters(tmp_path / "x"), {})
    job.result(SECONDS)
    assert not next(event for event in job.events() if isinstance(event, SessionCreated)).temporary
