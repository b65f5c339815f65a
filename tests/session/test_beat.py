from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.events import JobStopping, PhaseStarted, Progressed
from mlsession.session.log.canonical import canonical_json
from mlsession.session.watching.beat import Beat, NewestReport
from mlsession.testing.clock import START

DATE = START.isoformat()
STARTED = PhaseStarted(phase="training", iteration=5, date=START)
PROGRESS = Progressed(
    phase="training",
    iteration=7,
    total=None,
    item_count=7,
    total_items=25,
    elapsed=1.5,
    metrics={"loss": math.inf, "accuracy": 0.5},
    date=START,
)

counts = st.integers(0, 2**53 - 1)
reports = st.builds(
    Progressed,
    phase=st.just("training"),
    iteration=counts,
    total=st.none() | counts,
    item_count=counts,
    total_items=st.none() | counts,
    elapsed=st.floats(allow_nan=False),
    metrics=st.dictionaries(st.text().filter(lambda name: not name.startswith("$")), st.floats(allow_nan=False)),
    date=st.just(START),
)


@given(st.none() | reports, counts, counts)
def test_a_round_trip(report: Progressed | None, number: int, pid: int) -> None:
    beat = Beat(beat=number, date=START, pid=pid, started=STARTED, progress=report)
    assert Beat.decode(beat.encode()) == beat


def test_what_is_not_a_number_arrives() -> None:
    beat = Beat(beat=1, date=START, pid=1, started=STARTED, progress=replace(PROGRESS, metrics={"loss": math.nan}))
    found = Beat.decode(beat.encode())
    assert found is not None
    assert found.progress is not None
    assert math.isnan(found.progress.metrics["loss"])


def test_before_the_first_phase_there_is_only_the_sign_of_life() -> None:
    beat = NewestReport().beat(3, START, 12)
    assert beat.encode() == canonical_json({"beat": 3, "date": DATE, "pid": 12})
    assert Beat.decode(beat.encode()) == beat


def test_the_newest_report_is_of_the_present_phase() -> None:
    report = NewestReport()
    report.hear(STARTED)
    report.hear(PROGRESS)
    report.hear(JobStopping(reason="x"))
    assert (report.beat(1, START, 1).started, report.beat(1, START, 1).progress) == (STARTED, PROGRESS)
    evaluating = replace(STARTED, phase="evaluating")
    report.hear(evaluating)
    assert (report.beat(1, START, 1).started, report.beat(1, START, 1).progress) == (evaluating, None)


def test_a_metric_that_cannot_be_stored_does_not_end_the_sign_of_life() -> None:
    for metrics in ({"$loss": 1.0}, {"loss": "high"}, {"loss": None}):
        odd = replace(PROGRESS, metrics=metrics)  # type: ignore[arg-type]
        beat = Beat(beat=1, date=START, pid=1, started=STARTED, progress=odd)
        assert beat.encode() == canonical_json({"beat": 1, "date": DATE, "pid": 1})


def test_a_metric_of_numpy_is_a_number() -> None:
    metrics = {"loss": float(np.float32(0.1)), "accuracy": np.float64(0.5)}
    beat = Beat(beat=1, date=START, pid=1, started=STARTED, progress=replace(PROGRESS, metrics=metrics))
    found = Beat.decode(beat.encode())
    assert found is not None
    assert found.progress is not None
    assert found.progress.metrics == metrics


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{}",
        b"[]",
        b'{"beat":1,"date":"2026-01-01T00:00:00","pid":1}',
        b'{"beat":1,"date":"soon","pid":1}',
    ],
)
def test_nonsense_is_no_heartbeat(data: bytes) -> None:
    assert Beat.decode(data) is None


@pytest.mark.parametrize(
    "told",
    [
        {"started": {"phase": 7, "iteration": 1}},
        {"started": {"phase": "training"}},
        {"started": "training"},
        {"started": {"phase": "training", "iteration": True}},
        {"started": {"phase": "training", "iteration": 1}, "progress": {"phase": "training"}},
        {"started": {"phase": "training", "iteration": 1}, "progress": []},
        {
            "started": {"phase": "training", "iteration": 1},
            "progress": {
                **{"phase": "training", "iteration": 1, "total": None, "item_count": 1, "total_items": None},
                **{"elapsed": 10**400, "metrics": {}},  # Larger than any float.
            },
        },
    ],
)
def test_what_cannot_be_read_of_it_leaves_the_sign_of_life(told: dict[str, object]) -> None:
    data = canonical_json({"beat": 2, "date": DATE, "pid": 1, **told})
    assert Beat.decode(data) == Beat(beat=2, date=START, pid=1)


def test_progress_without_its_phase_counts_for_nothing() -> None:
    for started in (None, replace(STARTED, phase="evaluating")):
        beat = Beat(beat=1, date=START, pid=1, started=started, progress=PROGRESS)
        assert Beat.decode(beat.encode()) == replace(beat, progress=None)
