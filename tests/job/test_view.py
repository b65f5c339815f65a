from __future__ import annotations

import pytest

from mlsession.events import (
    CheckpointCommitted,
    CheckpointsRemoved,
    Event,
    HeartbeatMissed,
    JobFinished,
    PhaseFinished,
    PhaseStarted,
    Progressed,
    SessionOpened,
)
from mlsession.job.view import JobView, Progress, view_after
from mlsession.testing.clock import START


def after(*events: Event) -> JobView:
    view = JobView()
    for event in events:
        view = view_after(view, event)
    return view


PROGRESSED = Progressed(
    phase="training", iteration=3, total=10, item_count=3, total_items=10, elapsed=1.5, metrics={"loss": 0.5}
)


def test_before_anything_happened() -> None:
    assert after() == JobView(phase="initialized", progress=None, checkpoints=())


def test_the_phase_follows_the_session() -> None:
    opened = SessionOpened(url="u", phase="extracting", iteration=4)
    assert after(opened).phase == "extracting"
    assert after(opened, PhaseStarted(phase="training", iteration=0)).phase == "training"
    assert after(opened, PhaseFinished(phase="training", iteration=9)).phase == "extracting"


def test_progress_is_the_newest_report() -> None:
    assert after(PROGRESSED).progress == Progress(
        phase="training",
        elapsed=1.5,
        iteration=3,
        total=10,
        item_count=3,
        total_item_count=10,
        metrics={"loss": 0.5},
    )


@pytest.mark.parametrize(
    ("iteration", "total", "items", "total_items", "fraction"),
    [
        (3, 10, 3, 10, 0.3),
        (3, 10, 96, 128, 0.75),
        (3, 10, 96, None, 0.3),
        (3, None, 96, 128, 0.75),
        (3, None, 96, None, None),
        (0, 0, 0, 0, None),
        (0, 10, 0, 0, 0.0),
        (10, 10, 10, 10, 1.0),
    ],
)
def test_the_fraction(
    iteration: int, total: int | None, items: int, total_items: int | None, fraction: float | None
) -> None:
    progress = Progress(
        phase="x", elapsed=0, iteration=iteration, total=total, item_count=items, total_item_count=total_items
    )
    assert progress.fraction_completed == fraction


def test_checkpoints_are_gathered() -> None:
    commits = [
        CheckpointCommitted(
            checkpoint=number,
            phase="training",
            iteration=number * 5,
            url=f"u/{number}",
            seconds=0.1,
            size_bytes=9,
            metrics={"loss": 1.0},
            date=START,
        )
        for number in (2, 3)
    ]
    checkpoints = after(*commits).checkpoints
    assert [(item.number, item.iteration, item.url, item.date) for item in checkpoints] == [
        (2, 10, "u/2", START),
        (3, 15, "u/3", START),
    ]
    assert checkpoints[0].metrics == {"loss": 1.0}
    assert after(*commits, CheckpointsRemoved(checkpoints=(2, 9))).checkpoints == checkpoints[1:]


def test_other_events_change_nothing() -> None:
    view = after(PROGRESSED)
    for event in (JobFinished(elapsed=1.0), HeartbeatMissed(reason="x"), PhaseFinished(phase="y", iteration=1)):
        assert view_after(view, event) is view
