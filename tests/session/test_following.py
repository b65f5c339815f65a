"""What a follower makes of records and heartbeats, one at a time; nothing here waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlsession.errors import Cancelled, DamagedData, Interrupted, JobStopped, SessionFailed
from mlsession.events import (
    CheckpointCommitted,
    CheckpointsRemoved,
    Event,
    PhaseFinished,
    PhaseStarted,
    Progressed,
    SessionClosed,
    SessionOpened,
)
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Kind, Outcome, Record
from mlsession.session.watching.beat import Beat
from mlsession.session.watching.following import (
    UNBEGUN,
    Following,
    after_beat,
    after_record,
    begin_following,
    pulse_after,
    stopped,
)
from mlsession.store.memory import MemorySpace
from mlsession.testing.clock import START, FakeClock
from tests.session.elsewhere import PHASES, Elsewhere, progress

NEW = Following(url="u", session="s", phases=PHASES, end=0)
Told = list[tuple[object, ...]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def elsewhere(clock: FakeClock) -> Elsewhere:
    return Elsewhere(MemorySpace(), clock)


def told(events: tuple[Event, ...] | list[Event]) -> Told:
    """Events without what does not matter here."""
    short: Told = []
    for event in events:
        match event:
            case PhaseStarted() | SessionOpened() | PhaseFinished():
                short.append((type(event).__name__, event.phase, event.iteration))
            case Progressed():
                short.append(("Progressed", event.phase, event.iteration, event.total_items, event.elapsed))
            case CheckpointCommitted():
                short.append(("Checkpoint", event.checkpoint, event.phase, event.iteration))
            case _:
                short.append((type(event).__name__,))
    return short


def followed(elsewhere: Elsewhere, known: Following = NEW) -> tuple[Following, Told]:
    """All records after what is known, one by one."""
    events: list[Event] = []
    while (number := known.end + 1) <= elsewhere_end(elsewhere):
        known, new = after_record(known, elsewhere.record(number), known.standing)
        events.extend(new)
    return known, told(events)


def elsewhere_end(elsewhere: Elsewhere) -> int:
    state = Journal(elsewhere.store).load()
    assert state is not None
    return state.end


def beat_of(phase: str, iteration: int = 0, begun: int = 0) -> Beat:
    return Beat(
        beat=1,
        date=START,
        pid=1,
        started=PhaseStarted(phase=phase, iteration=begun, date=START),
        progress=progress(phase, iteration) if iteration else None,
    )


def test_a_whole_training_from_its_records(elsewhere: Elsewhere, clock: FakeClock) -> None:
    elsewhere.open()
    clock.advance(4)
    elsewhere.commit("extracting", 2, fresh=True)
    clock.advance(3)
    elsewhere.commit("extracting", 3, ended=True)
    clock.advance(2)
    elsewhere.commit("training", 5, fresh=True, ended=True)
    elsewhere.close(Outcome.FINISHED)
    known, events = followed(elsewhere)
    assert events == [
        ("SessionOpened", "initialized", 0),
        ("PhaseStarted", "extracting", 0),
        ("Progressed", "extracting", 2, None, 4.0),
        ("Checkpoint", 2, "extracting", 2),
        ("Progressed", "extracting", 3, None, 7.0),
        ("Checkpoint", 3, "extracting", 3),
        ("PhaseFinished", "extracting", 3),
        ("PhaseStarted", "training", 0),
        ("Progressed", "training", 5, None, 2.0),
        ("Checkpoint", 4, "training", 5),
        ("PhaseFinished", "training", 5),
        ("SessionClosed",),
    ]
    assert (known.outcome, known.is_open, known.end) == (Outcome.FINISHED, False, 5)


def test_events_carry_the_dates_of_the_writer(elsewhere: Elsewhere, clock: FakeClock) -> None:
    clock.advance(10)
    elsewhere.open()
    _, (opened,) = after_record(NEW, elsewhere.record(1), UNBEGUN)
    assert opened.date == clock.now()
    assert isinstance(opened, SessionOpened)
    assert (opened.pid > 0, opened.host != "") == (True, True)
    clock.advance(5)
    elsewhere.commit("training", 1, fresh=True)
    _, events = after_record(replace(NEW, end=1), elsewhere.record(2), UNBEGUN)
    assert events[-1].date == clock.now()


def test_a_resumed_phase_goes_on(elsewhere: Elsewhere) -> None:
    elsewhere.open()
    elsewhere.commit("training", 4, fresh=True)
    elsewhere.close(Outcome.PAUSED, "enough")
    known, _ = followed(elsewhere)
    elsewhere.open()
    elsewhere.commit("training", 6)
    elsewhere.commit("training", 8, ended=True)
    again, events = followed(elsewhere, known)
    assert events == [
        ("SessionOpened", "training", 4),
        ("PhaseStarted", "training", 4),
        ("Progressed", "training", 6, None, 0.0),
        ("Checkpoint", 5, "training", 6),
        ("Progressed", "training", 8, None, 0.0),
        ("Checkpoint", 6, "training", 8),
        ("PhaseFinished", "training", 8),
    ]
    assert (again.outcome, again.is_open) == (None, True)


def test_beats_tell_what_is_not_committed(elsewhere: Elsewhere) -> None:
    elsewhere.open()
    known, _ = followed(elsewhere)
    known, events = after_beat(known, beat_of("training", begun=3))
    assert told(events) == [("PhaseStarted", "training", 3)]
    known, events = after_beat(known, beat_of("training", 5, begun=3))
    assert told(events) == [("Progressed", "training", 5, 1_600, 5.0)]
    assert after_beat(known, beat_of("training", 5, begun=3)) == (known, ())
    elsewhere.commit("training", 5)
    known, events_ = followed(elsewhere, known)
    assert events_ == [("Checkpoint", 2, "training", 5)]  # the same progress is not told again
    known, events = after_beat(known, beat_of("training", 9, begun=3))
    elsewhere.commit("training", 10, ended=True)
    known, events_ = followed(elsewhere, known)
    assert events_ == [
        ("Progressed", "training", 10, 1_600, 9.0),  # how much there is to do only the beat knew
        ("Checkpoint", 3, "training", 10),
        ("PhaseFinished", "training", 10),
    ]


def test_a_beat_that_is_older_than_the_log_tells_nothing(elsewhere: Elsewhere) -> None:
    elsewhere.open()
    elsewhere.commit("extracting", 3, fresh=True, ended=True)
    known, _ = followed(elsewhere)
    assert after_beat(known, beat_of("extracting", 2)) == (known, ())
    elsewhere.commit("training", 7, fresh=True)
    known, _ = followed(elsewhere, known)
    assert after_beat(known, beat_of("extracting", 3)) == (known, ())
    known, events = after_beat(known, beat_of("training", 6))
    assert events == ()
    assert known.report is not None
    assert (known.report.iteration, known.report.total) == (7, 100)
    elsewhere.close(Outcome.FINISHED)
    known, _ = followed(elsewhere, known)
    assert after_beat(known, beat_of("training", 8)) == (known, ())


def test_of_a_task_whose_phases_are_unknown_only_what_is_over_is_old(elsewhere: Elsewhere) -> None:
    elsewhere.open()
    elsewhere.commit("b", 3, fresh=True, ended=True)
    known, _ = followed(elsewhere)
    assert after_beat(known, beat_of("b", 4)) == (known, ())
    assert told(after_beat(known, beat_of("a", 1))[1]) == [("PhaseStarted", "a", 0), ("Progressed", "a", 1, 1_600, 1.0)]


def test_nobody_has_trained_it(elsewhere: Elsewhere) -> None:
    state = Journal(elsewhere.store).load()
    assert state is not None
    known, events = begin_following("u", state, (), UNBEGUN)
    assert (known.opening, known.is_open, events) == (0, False, ())
    assert after_beat(known, beat_of("training", 3)) == (known, ())


def test_the_past_is_told_up_to_the_present(elsewhere: Elsewhere) -> None:
    elsewhere.open()
    first = elsewhere.commit("extracting", 3, fresh=True, ended=True)
    second = elsewhere.commit("training", 4, fresh=True)
    elsewhere.close(Outcome.INTERRUPTED, "signal SIGTERM")
    elsewhere.open()
    third = elsewhere.commit("training", 6)
    elsewhere.close(Outcome.PAUSED, "enough")
    state = Journal(elsewhere.store).load()
    assert state is not None
    known, events = begin_following("u", state, (first, second, third), UNBEGUN)
    assert told(events) == [
        ("PhaseStarted", "extracting", 0),
        ("Checkpoint", 2, "extracting", 3),
        ("PhaseFinished", "extracting", 3),
        ("PhaseStarted", "training", 0),
        ("Checkpoint", 3, "training", 4),
        ("SessionOpened", "training", 4),
        ("PhaseStarted", "training", 4),
        ("Progressed", "training", 6, None, 0.0),
        ("Checkpoint", 6, "training", 6),
        ("SessionClosed",),
    ]
    assert (known.outcome, known.reason, known.end) == (Outcome.PAUSED, "enough", 7)
    live, _ = followed(elsewhere)
    assert replace(known, url=live.url, session=live.session) == live
    # Only the newest checkpoints, and what lies before them.
    cut, events = begin_following("u", state, (third,), ("training", 4))
    assert told(events)[:2] == [("SessionOpened", "training", 4), ("PhaseStarted", "training", 4)]
    assert begin_following("u", state, (first, second, third), UNBEGUN, after=6) == (known, events[-1:])
    assert cut == known


def test_removals_are_told(elsewhere: Elsewhere) -> None:
    elsewhere.open()
    known, _ = followed(elsewhere)
    removed = replace(elsewhere.record(1), number=2, kind=Kind.REMOVED, body={"checkpoints": [5, 3], "keys": []})
    known, (event,) = after_record(known, removed, UNBEGUN)
    assert isinstance(event, CheckpointsRemoved)
    assert (event.checkpoints, known.end) == ((3, 5), 2)


@pytest.mark.parametrize(
    ("kind", "body"),
    [(Kind.CLOSED, {"outcome": "lost"}), (Kind.CLOSED, {}), (Kind.CHECKPOINT, {}), (Kind.REMOVED, {})],
)
def test_a_body_that_is_not_of_its_kind_is_damage(elsewhere: Elsewhere, kind: Kind, body: dict[str, str]) -> None:
    elsewhere.open()
    record: Record = replace(elsewhere.record(1), number=2, kind=kind, body=dict(body))
    with pytest.raises(DamagedData, match="log/0000000002"):
        after_record(NEW, record, UNBEGUN)


@pytest.mark.parametrize(
    ("outcome", "error", "words"),
    [
        (Outcome.PAUSED, Cancelled, "enough"),
        (Outcome.INTERRUPTED, Interrupted, "enough"),
        (Outcome.FAILED, SessionFailed, "training u failed: enough"),
    ],
)
def test_how_a_session_ended_is_what_the_job_raises(outcome: Outcome, error: type[JobStopped], words: str) -> None:
    raised = stopped(replace(NEW, opening=1, outcome=outcome, reason="enough"))
    assert type(raised) is error
    assert str(raised) == words


def test_a_session_that_runs_or_is_finished_raises_nothing() -> None:
    assert stopped(replace(NEW, opening=1)) is None
    assert stopped(replace(NEW, opening=1, outcome=Outcome.FINISHED)) is None


def test_the_events_of_a_closed_session_say_why(elsewhere: Elsewhere) -> None:
    elsewhere.open()
    elsewhere.close(Outcome.FAILED, "StoreFull: no space")
    _, (event,) = after_record(replace(NEW, end=1), elsewhere.record(2), UNBEGUN)
    assert event == SessionClosed(outcome="failed", reason="StoreFull: no space", date=event.date)


def test_a_pulse_is_watched_from_its_last_change() -> None:
    pulse = pulse_after(None, 1, b"a", 10.0, was_blind=False)
    assert pulse_after(pulse, 1, b"a", 15.0, was_blind=False).since == 10.0
    assert pulse_after(pulse, 1, b"b", 15.0, was_blind=False).since == 15.0
    assert pulse_after(pulse, 2, b"a", 15.0, was_blind=False).since == 15.0
    # Who could not look does not know since when it is still.
    assert pulse_after(pulse, 1, b"a", 15.0, was_blind=True).since == 15.0
