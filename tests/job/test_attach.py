"""Following, with a clock that a test moves: what happens elsewhere happens while the follower waits."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlsession.errors import (
    Cancelled,
    Interrupted,
    InvalidParameter,
    KeyMissing,
    SessionFailed,
    SessionNotFound,
    SessionTakenOver,
    StoreUnavailable,
)
from mlsession.events import (
    CheckpointCommitted,
    CheckpointSkipped,
    Event,
    JobFinished,
    PhaseStarted,
    Progressed,
    SessionClosed,
    SessionOpened,
    StopRequested,
    StoreRetried,
    WaitingForWriter,
    WriterLost,
)
from mlsession.job.attach import FollowOptions, follow_session
from mlsession.job.context import JobContext
from mlsession.job.job import Job
from mlsession.job.run import run_task
from mlsession.session.log.layout import record_key, stop_key
from mlsession.session.log.records import Outcome
from mlsession.session.parameters import SessionParameters
from mlsession.session.stop import HANDED_OVER, StopFlag, StopKind, stop_requested
from mlsession.session.watching.liveness import ProcessIdentity
from mlsession.session.watching.status import Status
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.testing.clock import FakeClock
from mlsession.testing.walk import Walk
from tests.session.attempts import Attempt, attempt_on
from tests.session.elsewhere import Elsewhere
from tests.session.stores import CountingStore, HookedStore

SECONDS = 120
"""More than anything here takes; a test that waits so long has failed."""


class World:
    """A session elsewhere, and a follower in this thread; `script` is what happens there, one turn after another."""

    def __init__(self) -> None:
        self.space = MemorySpace()
        self.clock = FakeClock(on_sleep=self._slept)
        self.elsewhere = Elsewhere(self.space, self.clock)
        self.stop = StopFlag()
        self.events: list[Event] = []
        self.script: Iterator[object] = iter(())
        self._next = 0.0

    def follow(
        self, script: Iterator[object] | None = None, store: Store | None = None, options: FollowOptions | None = None
    ) -> None:
        """Follows until the session ends; each `yield` of the script lets a poll pass."""
        self.script, self._next = script or iter(()), 0.0
        context = JobContext(emit=self.events.append, stop=self.stop, clock=self.clock)
        follow_session(store or MemoryStore(self.space), context, options or FollowOptions())

    def _slept(self, seconds: float) -> None:
        if self.clock.monotonic() >= self._next:
            # Half a poll later than the poll before, so that each look sees exactly one turn.
            self._next = self.clock.monotonic() + 2.0
            next(self.script, None)

    def of(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    def iterations(self) -> list[int]:
        return [event.iteration for event in self.events if isinstance(event, CheckpointCommitted)]


@pytest.fixture
def world() -> World:
    return World()


def test_a_training_is_followed_to_its_end(world: World) -> None:
    there = world.elsewhere
    there.open()

    def script() -> Iterator[None]:
        there.beat("training")
        yield
        there.beat("training", 3)
        yield
        there.commit("training", 4, fresh=True)
        there.commit("training", 6, ended=True)
        yield
        there.close(Outcome.FINISHED)
        yield

    world.follow(script())
    assert [type(event).__name__ for event in world.events] == [
        "SessionOpened",
        "PhaseStarted",
        "Progressed",
        "Progressed",
        "CheckpointCommitted",
        "Progressed",
        "CheckpointCommitted",
        "PhaseFinished",
        "SessionClosed",
    ]
    assert world.clock.monotonic() < 10


def test_a_quiet_poll_is_two_small_requests_however_long_the_session_is(world: World) -> None:
    there = world.elsewhere
    there.open()
    for iteration in range(1, 201):
        there.commit("training", iteration, fresh=iteration == 1)
    store = CountingStore(MemoryStore(world.space))
    at_turns: list[Counter[str]] = []

    def script() -> Iterator[None]:
        for _ in range(5):
            there.beat("training", 201)
            at_turns.append(Counter(store.calls))
            yield
        there.close(Outcome.FINISHED)
        yield

    world.follow(script(), store)
    assert world.iterations() == list(range(1, 201))
    assert sum(at_turns[0].values()) < 100  # far fewer than there are records: pages of the index
    for before, after in itertools.pairwise(at_turns):
        assert after - before == Counter(get=2)


def test_only_the_newest_of_many_checkpoints_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.session.watching.tail.MOST_PAST", 30)
    world.elsewhere.open()
    for iteration in range(1, 101):
        world.elsewhere.commit("training", iteration, fresh=iteration == 1)
    world.elsewhere.close(Outcome.FINISHED)
    world.follow()
    assert world.iterations() == list(range(71, 101))
    opened, started = world.events[:2]
    assert isinstance(opened, SessionOpened)
    assert isinstance(started, PhaseStarted)
    assert (opened.iteration, started.iteration) == (70, 70)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [(Outcome.PAUSED, Cancelled), (Outcome.INTERRUPTED, Interrupted), (Outcome.FAILED, SessionFailed)],
)
def test_a_session_that_has_ended_already(world: World, outcome: Outcome, error: type[Exception]) -> None:
    world.elsewhere.open()
    world.elsewhere.commit("training", 3, fresh=True)
    world.elsewhere.close(outcome, "because")
    with pytest.raises(error, match="because"):
        world.follow()
    assert world.iterations() == [3]
    (closed,) = world.of(SessionClosed)
    assert world.events[-1] is closed
    assert world.clock.monotonic() == 0


def test_there_is_no_session() -> None:
    context = JobContext(emit=lambda event: None, stop=StopFlag(), clock=FakeClock())
    with pytest.raises(SessionNotFound, match="there is no session at memory-store://"):
        follow_session(MemoryStore(), context, FollowOptions())
    job = Job.attach(f"memory://nothing-{uuid.uuid4().hex}")
    assert isinstance(job.exception(SECONDS), SessionNotFound)


def test_resumed_and_taken_over_while_it_is_followed(world: World) -> None:
    there = world.elsewhere
    there.open()

    def script() -> Iterator[None]:
        there.commit("training", 3, fresh=True)
        there.close(Outcome.PAUSED, "enough")
        there.open()  # Before the next look: the pause is past when it is seen.
        yield
        there.beat("training", 4, begun=3)
        yield
        there.open()  # Nobody had closed it: another writer took it over.
        yield
        there.beat("training", 5, begun=3)
        yield
        there.commit("training", 6, ended=True)
        there.close(Outcome.FINISHED)
        yield

    world.follow(script())
    assert world.iterations() == [3, 6]
    assert [event.iteration for event in world.events if isinstance(event, SessionOpened)] == [0, 3, 3]
    assert [event.iteration for event in world.events if isinstance(event, Progressed)] == [3, 4, 5, 6]


def test_a_session_that_is_extended_is_followed_on(world: World) -> None:
    there = world.elsewhere
    there.open()

    def script() -> Iterator[None]:
        there.commit("training", 3, fresh=True, ended=True)
        there.close(Outcome.FINISHED)
        there.open()
        there.commit("training", 6, ended=True)
        yield
        there.close(Outcome.FINISHED)
        yield

    world.follow(script())
    assert world.iterations() == [3, 6]
    assert len(world.of(SessionClosed)) == 2


def test_waiting_through_a_pause_and_a_loss(world: World) -> None:
    there = world.elsewhere
    there.open()
    there.beat()

    def script() -> Iterator[None]:
        for _ in range(15):  # Longer than a writer may be still.
            yield
        there.open()
        there.commit("training", 3, fresh=True)
        there.close(Outcome.PAUSED, "enough")
        for _ in range(15):
            yield
        there.open()
        there.commit("training", 6, ended=True)
        there.close(Outcome.FINISHED)
        yield

    world.follow(script(), options=FollowOptions(wait=True))
    assert world.iterations() == [3, 6]
    assert [type(event) for event in world.of(WriterLost, SessionClosed)] == [WriterLost, SessionClosed, SessionClosed]


def test_a_writer_that_was_only_still_is_followed_on(world: World) -> None:
    there = world.elsewhere
    there.open()
    there.beat("training", 3)

    def script() -> Iterator[None]:
        for _ in range(15):
            yield
        for iteration in (5, 7):
            there.beat("training", iteration)
            yield
        there.close(Outcome.FINISHED)
        yield

    world.follow(script(), options=FollowOptions(wait=True))
    assert len(world.of(WriterLost)) == 1
    assert [event.iteration for event in world.events if isinstance(event, Progressed)] == [3, 5, 7]


def test_waiting_costs_no_more_than_watching(world: World) -> None:
    world.elsewhere.open()
    world.elsewhere.close(Outcome.PAUSED, "enough")
    store = CountingStore(MemoryStore(world.space))
    at_turns: list[Counter[str]] = []

    def script() -> Iterator[None]:
        for _ in range(15):
            at_turns.append(Counter(store.calls))
            yield
        world.stop.ask(StopKind.INTERRUPTED, "no longer", world.clock.monotonic())

    with pytest.raises(Interrupted, match="no longer"):
        world.follow(script(), store, FollowOptions(wait=True))
    for before, after in itertools.pairwise(at_turns):
        assert after - before == Counter(get=2)


def test_a_writer_without_a_sign_of_life_is_lost_by_our_own_clock(world: World) -> None:
    world.elsewhere.open()
    world.elsewhere.beat("training", 3)
    with pytest.raises(Interrupted, match=r"has shown no sign of life for 20 s; .* can be resumed"):
        world.follow()
    assert 20 <= world.clock.monotonic() <= 22
    (lost,) = world.of(WriterLost)
    assert world.events[-1] is lost


def test_a_heartbeat_that_looks_old_is_watched_all_the_same(world: World) -> None:
    world.elsewhere.open()
    world.elsewhere.beat("training", 3)
    world.clock.advance(3_600)
    with pytest.raises(Interrupted, match="no sign of life"):
        world.follow()
    (waiting,) = world.of(WaitingForWriter)
    assert isinstance(waiting, WaitingForWriter)
    assert waiting.seconds == 20.0
    assert world.clock.monotonic() >= 3_620


def test_a_process_of_this_machine_that_is_gone_is_lost_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the record says of its process is what a process that has ended would have said.
    gone = ProcessIdentity(host="here", pid=7, boot_id="b", pid_namespace="n", start_time="1")
    monkeypatch.setattr("mlsession.session.opening.this_process", lambda: gone)
    monkeypatch.setattr("mlsession.job.attach.this_process", lambda: replace(gone, pid=8))
    world.elsewhere.open()
    with pytest.raises(Interrupted, match="process 7 on here, which trained the session, is gone"):
        world.follow()
    assert world.clock.monotonic() == 0


def test_what_a_process_did_last_is_seen_before_it_counts_as_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It commits and ends between our look at the log and our look at the process table."""
    there = world.elsewhere
    there.open()
    asked: list[int] = []

    def is_known_dead(*_: object) -> bool:
        asked.append(1)
        if len(asked) == 3:
            there.commit("training", 3, fresh=True)
            there.close(Outcome.FINISHED)
        return len(asked) >= 3

    monkeypatch.setattr("mlsession.job.attach.is_known_dead", is_known_dead)
    world.follow()
    assert world.iterations() == [3]
    assert world.of(WriterLost) == []


def test_nobody_begins(world: World) -> None:
    with pytest.raises(Interrupted, match="nobody trains this session"):
        world.follow()
    assert world.of(WriterLost) == []
    assert world.clock.monotonic() >= 20


def test_somebody_begins_in_time(world: World) -> None:
    def script() -> Iterator[None]:
        for _ in range(5):
            yield
        world.elsewhere.open()
        yield
        world.elsewhere.close(Outcome.FINISHED)
        yield

    world.follow(script())
    assert [type(event) for event in world.events] == [SessionOpened, SessionClosed]


def test_an_outage_is_said_and_borne(world: World) -> None:
    there, fails = world.elsewhere, [0]
    there.open()
    there.beat("training", 3)

    def fail(operation: str, key: str) -> None:
        if fails[0] > 0:
            fails[0] -= 1
            raise StoreUnavailable("503 slow down", key)

    def script() -> Iterator[None]:
        yield
        fails[0] = 8  # More than 40 s of waiting: longer than a writer may be still.
        for _ in range(7):
            yield
        there.commit("training", 4)
        yield
        there.close(Outcome.FINISHED)
        yield

    world.follow(script(), HookedStore(MemoryStore(world.space), fail))
    assert len(world.of(StoreRetried)) == 8
    assert world.of(WriterLost) == []
    assert world.iterations() == [4]


def test_a_store_that_stays_away_is_an_error(world: World) -> None:
    world.elsewhere.open()
    away: list[bool] = []

    def fail(operation: str, key: str) -> None:
        if away:
            raise StoreUnavailable("gone", key)

    def script() -> Iterator[None]:
        away.append(True)
        yield

    store = HookedStore(MemoryStore(world.space), fail)
    with pytest.raises(StoreUnavailable, match="has not answered for"):
        world.follow(script(), store, FollowOptions(store_patience=60))


def test_a_session_that_is_deleted_is_gone(world: World) -> None:
    there = world.elsewhere
    there.open()

    def script() -> Iterator[None]:
        world.space.values.clear()
        yield

    with pytest.raises(SessionNotFound, match="was deleted while it was followed"):
        world.follow(script())


def test_a_session_that_is_deleted_while_nobody_trains_it(world: World) -> None:
    world.elsewhere.open()
    world.elsewhere.close(Outcome.PAUSED)

    def script() -> Iterator[None]:
        yield
        world.space.values.clear()
        yield

    with pytest.raises(SessionNotFound, match="was deleted"):
        world.follow(script(), options=FollowOptions(wait=True))


def test_another_session_in_its_place_is_not_it(world: World) -> None:
    there = world.elsewhere
    there.open()

    def script() -> Iterator[None]:
        world.space.values.clear()
        again = Elsewhere(world.space, world.clock)
        again.open()
        again.commit("training", 3, fresh=True)
        yield

    with pytest.raises(SessionNotFound, match="another one has taken its place"):
        world.follow(script())
    assert world.iterations() == []


def test_a_torn_record_is_read_again_and_passed_over_once_the_log_goes_on(world: World) -> None:
    there = world.elsewhere
    there.open()
    key = record_key(2)

    def script() -> Iterator[None]:
        there.commit("training", 3, fresh=True)
        whole = there.store.get(key)
        there.store.put(key, whole[:40])  # As a store without atomic creation shows it.
        yield
        there.store.put(key, whole)
        yield
        there.commit("training", 4)
        damaged = there.store.get(record_key(3))
        there.store.put(record_key(3), b"torn")
        yield
        there.store.put(record_key(3), damaged)  # Its writer goes on from nothing else.
        there.commit("training", 5)
        there.store.put(record_key(3), b"torn")
        yield
        there.close(Outcome.FINISHED)
        yield

    world.follow(script())
    assert world.iterations() == [3, 5]
    (skipped,) = world.of(CheckpointSkipped)
    assert isinstance(skipped, CheckpointSkipped)
    assert skipped.checkpoint == 3


def test_a_gap_in_the_log_ends_no_following(world: World) -> None:
    there = world.elsewhere
    there.open()

    def script() -> Iterator[None]:
        there.commit("training", 3, fresh=True)
        there.commit("training", 5)
        there.store.delete(record_key(2))
        for _ in range(12):
            yield
        there.open()  # What the next writer goes on from lies before the gap.
        there.commit("training", 2, fresh=True)
        for _ in range(12):
            there.beat("training", 2)
            yield
        there.close(Outcome.FINISHED)
        yield

    world.follow(script(), options=FollowOptions(wait=True))
    assert world.iterations() == [2]
    assert [event.checkpoint for event in world.events if isinstance(event, CheckpointSkipped)] == [2]


# Stopping


def test_stopping_asks_the_opening_and_waits_for_its_end(world: World) -> None:
    there = world.elsewhere
    opening = there.open()

    def script() -> Iterator[None]:
        there.beat("training", 3)
        yield
        world.stop.ask(StopKind.CANCELLED, "enough", world.clock.monotonic())
        yield
        assert stop_requested(there.store, opening) == "enough"
        there.commit("training", 4, fresh=True)
        there.close(Outcome.PAUSED, "another process asked this job to stop: enough")
        yield

    with pytest.raises(Cancelled, match="another process asked this job to stop: enough"):
        world.follow(script())
    (asked,) = world.of(StopRequested)
    assert isinstance(asked, StopRequested)
    assert (asked.opening, asked.reason) == (opening, "enough")
    assert world.iterations() == [4]


def test_stopping_what_is_not_running_writes_nothing(world: World) -> None:
    world.elsewhere.open()
    world.elsewhere.close(Outcome.PAUSED, "long ago")
    before = dict(world.space.values)
    world.stop.ask(StopKind.CANCELLED, "enough", 0.0)
    with pytest.raises(Cancelled, match="long ago"):
        world.follow()
    assert world.space.values == before


def interrupted(there: Elsewhere) -> None:
    there.close(Outcome.INTERRUPTED, "another of the processes is gone")


def handed_over(there: Elsewhere) -> None:
    there.close(Outcome.PAUSED, f"{HANDED_OVER} 2 worker processes")


def silent(there: Elsewhere) -> None:
    """Whoever had it open shows no sign of life."""


@pytest.mark.parametrize("end", [interrupted, handed_over, silent])
def test_stopping_what_a_launcher_may_start_again_leaves_word(world: World, end: Callable[[Elsewhere], None]) -> None:
    opening = world.elsewhere.open()
    end(world.elsewhere)
    world.stop.ask(StopKind.CANCELLED, "enough", 0.0)
    with pytest.raises((Interrupted, Cancelled)):
        world.follow()
    assert stop_requested(world.elsewhere.store, opening) == "enough"


def test_who_opens_the_session_as_word_is_left_is_asked(world: World) -> None:
    """It looked before there was anything to see."""
    there = world.elsewhere
    first, second = there.open(), 0
    interrupted(there)

    def begun(operation: str, key: str) -> None:
        nonlocal second
        if operation == "put" and key == stop_key(first) and not second:
            second = there.open()

    def script() -> Iterator[None]:
        there.beat("training", 1)
        yield
        assert stop_requested(there.store, second) == "enough"
        there.close(Outcome.PAUSED, "stopped")
        yield

    world.stop.ask(StopKind.CANCELLED, "enough", 0.0)
    with pytest.raises(Cancelled, match="stopped"):
        world.follow(script(), HookedStore(MemoryStore(world.space), begun))
    assert [event.opening for event in world.events if isinstance(event, StopRequested)] == [second]


@pytest.mark.parametrize("wait", [False, True])
def test_stopping_what_nobody_has_begun_writes_nothing(world: World, wait: bool) -> None:
    before = dict(world.space.values)
    world.stop.ask(StopKind.CANCELLED, "enough", 0.0)
    with pytest.raises(Cancelled, match="enough; nobody trains the session at the moment"):
        world.follow(options=FollowOptions(wait=wait))
    assert world.space.values == before


def test_a_request_follows_the_writer_past_damage_but_not_to_another_one(world: World) -> None:
    there = world.elsewhere
    first = there.open()

    def script() -> Iterator[None]:
        there.commit("training", 3, fresh=True)
        world.stop.ask(StopKind.CANCELLED, "enough", world.clock.monotonic())
        yield
        there.writer.step_back(2)  # The same process opens the session anew, from before a damaged checkpoint.
        yield
        assert stop_requested(there.store, there.writer.opening) == "enough"
        there.open()
        yield

    with pytest.raises(SessionTakenOver, match="ask again to stop that one, too"):
        world.follow(script())
    assert [event.opening for event in world.events if isinstance(event, StopRequested)] == [first, 3]
    with pytest.raises(KeyMissing):
        there.store.get(stop_key(there.writer.opening))


def test_interrupting_only_ends_the_following(world: World) -> None:
    there = world.elsewhere
    there.open()
    before = dict(world.space.values)

    def script() -> Iterator[None]:
        world.stop.ask(StopKind.INTERRUPTED, "signal SIGINT", world.clock.monotonic())
        yield

    with pytest.raises(Interrupted, match="signal SIGINT"):
        world.follow(script())
    assert world.space.values == before


def test_interrupting_is_heard_during_an_outage(world: World) -> None:
    world.elsewhere.open()
    away: list[bool] = []

    def fail(operation: str, key: str) -> None:
        if away:
            world.stop.ask(StopKind.INTERRUPTED, "signal SIGINT", world.clock.monotonic())
            raise StoreUnavailable("gone", key)

    def script() -> Iterator[None]:
        away.append(True)
        yield

    with pytest.raises(Interrupted, match="signal SIGINT"):
        world.follow(script(), HookedStore(MemoryStore(world.space), fail))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"poll_seconds": 0}, "poll_seconds=0"), ({"stale_after": -1}, "stale_after=-1"), ({"store_patience": -1}, "-1")],
)
def test_options_that_mean_nothing(options: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        Job.attach("memory://x", **options)  # type: ignore[arg-type]


# Real trainings, in threads


class Running:
    """A `Walk` that waits at one of its turns, in a thread."""

    def __init__(self, attempt: Attempt, wait_at: int) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

        def on_step(turn: int) -> None:
            if turn == wait_at:
                self.reached.set()
                assert self.go_on.wait(SECONDS)

        self.outcome: list[object] = []
        self._attempt, self._task = attempt, Walk(limit=30, on_step=on_step)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome.append(self._attempt.walk(self._task))
        except Exception as error:
            self.outcome.append(error)

    def end(self) -> object:
        self.go_on.set()
        self._thread.join(SECONDS)
        return self.outcome[0]


def attached(space: MemorySpace, on_event: Callable[[Event], None] = lambda event: None) -> Job[None]:
    options = FollowOptions(poll_seconds=0.01, stale_after=SECONDS)
    job = Job(lambda context: follow_session(MemoryStore(space), context, options))
    job.add_event_callback(on_event)
    return job


def test_a_real_training_tells_its_progress_between_checkpoints() -> None:
    space, seen = MemorySpace(), threading.Event()
    attempt = replace(attempt_on(space, interval=100), report_interval=1)
    running = Running(attempt, wait_at=8)
    try:
        assert running.reached.wait(SECONDS)
        job = attached(space, lambda event: seen.set() if isinstance(event, Progressed) else None)
        # No checkpoint was committed yet: this can only come from the heartbeat.
        assert seen.wait(SECONDS)
        assert (job.phase, job.checkpoints) == ("walking", ())
        assert job.progress is not None
        assert (job.progress.iteration, job.progress.item_count, job.progress.total_item_count) == (7, 14, 60)
        assert set(job.progress.metrics) == {"total", "nothing"}
    finally:
        running.end()
    job.result(SECONDS)
    assert isinstance(list(job.events())[-1], JobFinished)
    assert [item.iteration for item in job.checkpoints] == [30, 6]


def test_a_real_training_stops_when_it_is_asked_and_the_next_one_does_not() -> None:
    space, asked = MemorySpace(), threading.Event()
    attempt = attempt_on(space)
    running = Running(attempt, wait_at=8)
    try:
        assert running.reached.wait(SECONDS)
        job = attached(space, lambda event: asked.set() if isinstance(event, StopRequested) else None)
        job.cancel("enough")
        assert job.is_cancelled
        assert asked.wait(SECONDS)
        while attempt.stop.request is None:
            assert not job.done()
            threading.Event().wait(0.002)
    finally:
        outcome = running.end()
    assert isinstance(outcome, Cancelled)
    with pytest.raises(Cancelled, match="another process asked this job to stop: enough"):
        job.result(SECONDS)
    again = attempt_on(space)
    assert again.walk(Walk(limit=30)) == attempt_on(MemorySpace()).walk(Walk(limit=30))
    assert again.stop.request is None


def test_the_result_is_a_picture_of_the_session(tmp_path: Path) -> None:
    run_task(Walk(limit=10), SessionParameters(tmp_path, checkpoint_interval=3), {}).result(SECONDS)
    job = Job.attach(tmp_path)
    with job.result(SECONDS) as session:
        assert session.status is Status.FINISHED
        assert job.checkpoints == session.checkpoints
    assert job.phase == "summing"
