from __future__ import annotations

import math

import pytest

from mlsession.cli.printing.meter import Meter, meter_after
from mlsession.cli.printing.narrator import MOST_NAMED, Line, Narrator, note
from mlsession.events import (
    CacheFailed,
    CheckpointCommitted,
    CheckpointSkipped,
    Event,
    EventsMissed,
    FindingMade,
    HeartbeatMissed,
    ItemSkipped,
    JobEnded,
    JobFinished,
    JobStopping,
    LabelsCorrected,
    NumericsChanged,
    PhaseFinished,
    PhaseStarted,
    Progressed,
    RemovalFailed,
    SessionCreated,
    SessionOpened,
    StoreRetried,
    Unprotected,
    WaitingForWriter,
)


def report(items: int, elapsed: float, phase: str = "extracting", **metrics: float) -> Progressed:
    return Progressed(
        phase=phase,
        iteration=max(items // 16, 1),
        total=8,
        item_count=items,
        total_items=120,
        elapsed=elapsed,
        metrics=metrics,
    )


def told(*events: Event) -> list[Line]:
    narrator = Narrator()
    return [line for event in events for line in narrator.lines(event)]


def texts(*events: Event) -> list[str]:
    return [line.text for line in told(*events)]


def test_a_phase_from_start_to_end() -> None:
    lines = told(
        SessionCreated(url="/tmp/animals"),
        SessionOpened(url="/tmp/animals", phase="initialized", iteration=0),
        PhaseStarted(phase="extracting", iteration=0),
        report(16, 4.0),
        report(80, 12.0, reused=8.0),
        CheckpointCommitted(checkpoint=3, phase="extracting", iteration=5, url="x", seconds=0.1, size_bytes=9),
        report(120, 17.0),
        PhaseFinished(phase="extracting", iteration=8),
        JobFinished(elapsed=20.0),
    )
    assert lines == [
        Line("session: created /tmp/animals"),
        Line("extracting: started"),
        Line("extracting: 16 of 120 images", passing=True),
        Line("extracting: 80 of 120 images, 8.0 images/s, 8 reused, about 5.0 s left", passing=True),
        Line("checkpoint 3: extracting 5", passing=True),
        Line("extracting: 120 of 120 images, 8.0 images/s", passing=True),
        Line("extracting: done, 120 images, in 17 s"),
    ]


def test_training_counts_iterations_and_tells_metrics() -> None:
    event = Progressed(
        phase="training",
        iteration=5,
        total=25,
        item_count=5,
        total_items=25,
        elapsed=1.0,
        metrics={"loss": 0.04242, "accuracy": 1.0, "validation_loss": math.nan, "validation_accuracy": 0.5},
    )
    assert texts(PhaseStarted(phase="training", iteration=4), event) == [
        "training: started, going on after 4",
        "training: 5 of 25 iterations, loss 0.04242, accuracy 100.0 %, validation loss nan, validation accuracy 50.0 %",
    ]


def test_speed_is_that_of_this_job() -> None:
    meter: Meter | None = None
    for event in (PhaseStarted(phase="extracting", iteration=5), report(96, 3.0), report(112, 7.0)):
        meter = meter_after(meter, event)
    assert meter is not None
    assert meter.rate == 4.0
    assert meter.seconds_left == 2.0


def test_nobody_knows_the_speed_of_one_report() -> None:
    meter = meter_after(None, report(16, 0.0))
    assert meter is not None
    assert (meter.rate, meter.seconds_left) == (None, None)
    again = meter_after(meter, report(32, 0.0))
    assert again is not None
    assert (again.rate, again.seconds_left) == (None, None)


def test_skipped_images_are_named_then_counted() -> None:
    skips = [ItemSkipped(phase="extracting", item=f"cat/{n}\x1b.jpg", reason="torn") for n in range(MOST_NAMED + 3)]
    end = PhaseFinished(phase="extracting", iteration=8)
    lines = texts(*skips, end, JobFinished(elapsed=1.0))
    assert lines[0] == "skipped cat/0\\x1b.jpg: torn"
    assert lines[MOST_NAMED:] == [
        "skipped 3 further images; `mlsession status URL --json` names them all",
        "extracting: done",
    ]
    assert texts(*skips[:MOST_NAMED], JobEnded(outcome="failed", reason="x")) == lines[:MOST_NAMED]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (SessionCreated(url="/tmp/x", temporary=True), "temporary"),
        (SessionOpened(url="/tmp/x", phase="training", iteration=7), "going on after training 7"),
        (WaitingForWriter(host="far\x1b", pid=12, seconds=20.0), "process 12 on far\\x1b"),
        (Unprotected(url="x"), "only one process"),
        (NumericsChanged(what="threads", original="2", new=4), "threads was 2"),
        (CheckpointSkipped(checkpoint=4, key="log/4", reason="hash"), "checkpoint 4 is damaged (hash)"),
        (
            LabelsCorrected(table="t\n.csv", relabeled=1, removed=2),
            "labels: t\\n.csv relabels 1 image and leaves 2 out",
        ),
        (LabelsCorrected(table="t", relabeled=0, removed=0, left={"a": "x\ny"}), "0 out; not applied to a: x y"),
        (
            FindingMade(kind="k", severity="warning", sentence="few\x1b", cure="add\nsome"),
            "warning: few\\x1b; add some",
        ),
        (StoreRetried(operation="get x", reason="503\nslow", attempt=2, delay=4.0), "(503 slow); try 3 in 4.0 s"),
        (HeartbeatMissed(reason="503"), "training goes on"),
        (CacheFailed(reason="denied"), "without the feature cache: denied"),
        (RemovalFailed(reason="denied"), "superseded checkpoints stay, they cannot be removed: denied"),
        (JobStopping(reason="signal SIGINT"), "stopping: signal SIGINT"),
        (EventsMissed(count=3), "3 events"),
    ],
)
def test_what_is_out_of_the_usual_is_one_line(event: Event, words: str) -> None:
    text = note(event)
    assert text is not None
    assert words in text
    assert "\n" not in text
    assert texts(event) == [text]


def test_the_usual_needs_no_note() -> None:
    assert note(SessionOpened(url="x", phase="initialized", iteration=0)) is None
    assert texts(JobFinished(elapsed=1.0)) == []


def test_what_is_chosen_is_told_with_so_far_until_it_is() -> None:
    found = [
        Progressed(
            phase="selecting",
            iteration=fits,
            total=None,
            item_count=fits,
            total_items=60,
            elapsed=1.0 + fits,
            metrics={"strength": 0.03},
        )
        for fits in (20, 60)
    ]
    over = PhaseFinished(phase="selecting", iteration=3)
    begun, *passing, ended = texts(PhaseStarted(phase="selecting", iteration=0), *found, over)
    assert begun == "selecting: started"
    assert all("so far strength 0.03" in line for line in passing)
    assert ended == "selecting: done, 60 fits, strength 0.03, in 1 min 1 s"
