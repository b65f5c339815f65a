"""Extracting by several ranks: the log and the model are those of one process, bit for bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.clock import SystemClock
from mlsession.devices.crew import Crew
from mlsession.devices.group import Group
from mlsession.devices.messages import decode_message, encode_message
from mlsession.errors import InternalError, Interrupted, StoreUnavailable
from mlsession.events import CacheFailed, CheckpointCommitted, Event, ItemSkipped, SessionOpened
from mlsession.job.context import JobContext
from mlsession.job.run import SessionPlace, drive_options, surroundings
from mlsession.phases.featured import Picture
from mlsession.phases.leading import led
from mlsession.phases.pictures import BATCH
from mlsession.phases.sharing import decode_pictures, encode_pictures
from mlsession.session.attempt import advance_session
from mlsession.session.log.journal import Journal
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Past
from mlsession.session.session import TrainingSession
from mlsession.session.stop import StopKind
from mlsession.testing.tiny_extractor import TinyExtractor
from mlsession.training.outcome import Trained
from mlsession.training.prepare import prepared
from mlsession.training.request import Request
from mlsession.training.task import ImageClassification
from mlsession.training.workers.crew import follow
from tests.devices.worlds import in_world
from tests.photos import copy_photos
from tests.reads import Reads, settle

LABELS = ("Banana", "Kiwi", "Lemon")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """39 photos to train on, in three batches, the last of them short, one of them no photo; and 18 to test on."""
    folder = tmp_path_factory.mktemp("photos")
    copy_photos(folder / "train", "train", 13, LABELS)
    copy_photos(folder / "test", "test", 6, LABELS)
    (folder / "train" / "Kiwi" / "broken.jpg").write_bytes(b"no photo")
    return folder


class Training:
    """One session, and attempts on it by worlds of any size."""

    def __init__(self, photos: Path, session: Path, cache: Path | None = None) -> None:
        self.session = session
        self.events: list[Event] = []
        parameters = ml.ModelParameters(
            algorithm=ml.TransferLearning(feature_extractor=TinyExtractor()),
            augmentation={"flip"},
            tune="off",
            max_iterations=4,
        )
        where = SessionParameters(session, checkpoint_interval=1, cache=str(cache) if cache else None, stale_after=0)
        self.request = Request(
            data=ml.DataSource.labeled_directories(photos / "train"),
            parameters=parameters,
            session=where,
            place=SessionPlace.of(where),
            testing=ml.DataSource.labeled_directories(photos / "test"),
        )

    def attempt(
        self,
        size: int,
        hear: Callable[[Event, JobContext], None] = lambda event, context: None,
        in_followers: Callable[[Callable[[Event], None]], None] = lambda emit: None,
    ) -> Trained:
        """By a world of `size` ranks; raises what rank 0 raises. Followers begin a phase with `in_followers`."""
        opened: list[ImageClassification] = []
        ready = threading.Event()

        def lead(crew: Crew | None) -> Trained:
            def emit(event: Event) -> None:
                self.events.append(event)
                hear(event, context)

            context = JobContext(emit=emit, clock=SystemClock())
            request = self.request
            with led(crew), prepared(request, context) as (task, opening, known):
                opened.append(task)
                ready.set()
                around, drive = surroundings(request.place, request.session, context), drive_options(request.session)
                return advance_session(replace(task, crew=crew), around, opening, drive, known)

        def work(crew: Group) -> Trained | None:
            if crew.rank == 0:
                return lead(crew)

            @contextmanager
            def open_task(emit: Callable[[Event], None]) -> Iterator[tuple[ImageClassification, Past]]:
                ready.wait()
                in_followers(emit)
                with closing(TrainingSession(self.request.place.open, self.request.session)) as session:
                    yield replace(opened[0], crew=crew, emit=emit), session.past

            follow(crew, open_task)
            return None

        if size == 1:
            return lead(None)
        outcomes = in_world(size, work)
        for outcome in outcomes[1:]:
            assert outcome.exception() is None
        trained = outcomes[0].result()
        assert trained is not None
        return trained

    def commits(self) -> list[tuple[object, ...]]:
        """All that was saved, without what names the attempt."""
        with closing(self.request.place.open()) as store:
            journal = Journal(store)
            state = journal.load()
            assert state is not None
            return [
                (
                    *(entry.phase, entry.iteration, entry.item_count, dict(entry.metrics), entry.ended),
                    *(entry.state.sha256, [ref.sha256 for ref in entry.adds]),
                )
                for entry in journal.checkpoints(state.timeline)
            ]


@pytest.fixture(scope="module")
def alone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    training = Training(photos, tmp_path_factory.mktemp("alone") / "session")
    training.attempt(1)
    return training.commits()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_log_is_that_of_one_process(size: int, photos: Path, tmp_path: Path, alone: object) -> None:
    training = Training(photos, tmp_path / "session")
    training.attempt(size)
    assert training.commits() == alone
    skipped = [event.item for event in training.events if isinstance(event, ItemSkipped)]
    assert skipped == ["Kiwi/broken.jpg"]


def test_worlds_come_and_go(photos: Path, tmp_path: Path, alone: object) -> None:
    training = Training(photos, tmp_path / "session")

    def stop(event: Event, context: JobContext) -> None:
        if isinstance(event, CheckpointCommitted):
            context.stop.ask(StopKind.INTERRUPTED, "the test", context.clock.monotonic())

    for size in (1, 2, 3, 2, 1):
        with pytest.raises(Interrupted, match="the test"):
            training.attempt(size, stop)
    training.attempt(2)
    assert training.commits() == alone
    opened = [event for event in training.events if isinstance(event, SessionOpened)]
    assert len(opened) == 6


def test_what_a_follower_cannot_read_rank_0_raises(photos: Path, tmp_path: Path, alone: object) -> None:
    training = Training(photos, tmp_path / "session")

    def fail(emit: Callable[[Event], None]) -> None:
        raise StoreUnavailable("the bucket does not answer", "Kiwi/1.jpg")

    with pytest.raises(StoreUnavailable, match=r"rank 1 on .*: the bucket does not answer"):
        training.attempt(2, in_followers=fail)
    training.attempt(2)
    assert training.commits() == alone


def test_what_a_follower_notices_is_said(photos: Path, tmp_path: Path) -> None:
    training = Training(photos, tmp_path / "session")
    training.attempt(2, in_followers=lambda emit: emit(CacheFailed(reason="of a follower")))
    told = [event.reason for event in training.events if isinstance(event, CacheFailed)]
    assert told == ["of a follower"] * 2, "once in extracting, once in evaluating"


def test_what_followers_have_read_the_next_session_need_not_read(
    photos: Path, tmp_path: Path, alone: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(photos, monkeypatch)
    reads = Reads.counted(monkeypatch)
    training = Training(photos, tmp_path / "first", tmp_path / "cache")
    training.attempt(3)
    assert reads.taken() == 39 + 1 + 18
    again = Training(photos, tmp_path / "again", tmp_path / "cache")
    again.attempt(1)
    # The batch with the file that is no picture: nobody goes by what such a file holds.
    assert "Kiwi/broken.jpg" in reads.keys
    assert reads.taken() <= BATCH
    assert training.commits() == alone


def test_batches_travel_as_they_are() -> None:
    features = np.array([[[1.5, -0.0], [np.nan, np.inf]], [[2.0, 6e-8], [65504.0, 0.1]]], dtype=np.float16)
    pictures = (
        Picture(row=7, digest=bytes(range(32)), features=features[0], made=(0, 1), stamp=bytes(range(16))),
        Picture(row=8, digest=bytes(32), features=features[1], reason="cut short \ud800"),
    )
    head, body = decode_message(encode_message(*encode_pictures(pictures)))
    again = decode_pictures(head, body)
    assert [each.features.tobytes() for each in again] == [each.features.tobytes() for each in pictures]
    assert [(each.row, each.digest, each.reason, each.made, each.stamp) for each in again] == [
        (7, bytes(range(32)), "", (0, 1), bytes(range(16))),
        (8, bytes(32), "cut short \ud800", (), b""),
    ]
    with pytest.raises(InternalError, match="no batch"):
        decode_pictures(head, body[:-2])
