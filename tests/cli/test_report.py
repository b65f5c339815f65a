from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from mlsession.cli.printing.report import MOST_CLASSES, class_table, confusions, export_line, headline, status_lines
from mlsession.export.compression import CompressionLoss
from mlsession.export.report import ExportReport
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.watching.status import Status
from mlsession.training.findings.summary import ImageCounts, SessionSummary, SkippedImage

DATE = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def metrics(labels: tuple[str, ...], matrix: list[list[int]]) -> ClassifierMetrics:
    return ClassifierMetrics(classes=labels, confusion_matrix=np.array(matrix, dtype=np.int64), log_loss=0.5)


def summary() -> SessionSummary:
    return SessionSummary(
        url="/tmp/animals.mlsession",
        status=Status.RUNNING,
        reason="",
        phase="training",
        iteration=5,
        limit=25,
        date=DATE,
        heartbeat_age=2.0,
        data="/tmp/animals",
        classes=("cat", "dog\x1b"),
        counts=ImageCounts(train=40, validation=None, test=0, skipped=7),
        skipped=tuple(SkippedImage(path=f"cat/{n}.jpg", source="training", reason="torn") for n in range(7)),
        metrics={},
        model_digest=None,
        history={},
        saving_cost=None,
        num_checkpoints=0,
        checkpoints=(),
    )


def test_a_table_of_classes() -> None:
    found = metrics(("cat\x1b", "林檎", "zebra"), [[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    assert class_table(found, 80) == [
        "label     count  precision  95 % interval  recall  95 % interval     f1",
        "cat\\x1b       4      1.000   0.44 to 1.00   0.750   0.30 to 0.95  0.857",
        "林檎          2      0.667   0.21 to 0.94   1.000   0.34 to 1.00  0.800",
        "zebra         0          -              -       -              -      -",
        "most often confused: cat\\x1b taken for 林檎 (1)",
    ]


def test_intervals_stand_where_there_is_room() -> None:
    found = metrics(("cat", "dog"), [[3, 1], [0, 2]])
    assert "95 % interval" not in class_table(found, 70)[0]
    assert class_table(found, 70)[1] == "cat         4      1.000   0.750  0.857"


def test_a_table_keeps_to_the_width_of_the_terminal() -> None:
    found = metrics(("a" * 200, "b"), [[1, 0], [0, 1]])
    assert max(len(line) for line in class_table(found, 60)) <= 60
    assert "a..." in "".join(class_table(found, 60))
    assert "a" * 200 in "".join(class_table(found, 1000))


def test_of_many_classes_the_worst_are_shown() -> None:
    count = MOST_CLASSES + 5
    matrix = np.diag([10] * count)
    matrix[count - 1, 0] = 30
    lines = class_table(metrics(tuple(f"c{n:03}" for n in range(count)), matrix.tolist()), 80)
    assert [line.split()[0] for line in lines[1:4]] == ["c000", "c044", "c001"]
    assert "and 5 classes" in lines[-2]
    assert len(lines) == MOST_CLASSES + 3


def test_of_many_classes_those_without_images_are_not_called_better() -> None:
    matrix = np.zeros((MOST_CLASSES + 5, MOST_CLASSES + 5), dtype=np.int64)
    matrix[2, 2], matrix[2, 3] = 1, 1
    lines = class_table(metrics(tuple(f"c{n:03}" for n in range(len(matrix))), matrix.tolist()), 80)
    assert [line.split()[0] for line in lines[1:3]] == ["c003", "c002"]
    assert "and 5 classes that no image is of or taken for; --json has all" in lines
    matrix = np.diag([1] * (MOST_CLASSES + 1) + [0] * 4)
    lines = class_table(metrics(tuple(f"c{n:03}" for n in range(len(matrix))), matrix.tolist()), 80)
    assert "and 1 class with a higher f1, and 4 classes that no image is of or taken for; --json has all" in lines


def test_nothing_is_confused_where_all_is_right() -> None:
    assert confusions(metrics(("a", "b"), [[1, 0], [0, 1]])) == []


def test_the_headline() -> None:
    found = {"training": metrics(("a", "b"), [[2, 0], [0, 2]]), "test": metrics(("a", "b"), [[1, 1], [0, 2]])}
    assert headline(found) == "accuracy: training 100.0 % of 4, test 75.0 % of 4"
    assert headline({}) == "accuracy: nothing was evaluated"


def test_a_session_for_people() -> None:
    lines = status_lines(summary(), DATE + timedelta(seconds=65))
    assert lines == [
        "session      /tmp/animals.mlsession",
        "status       running, last sign of life 2.0 s ago",
        "phase        training, saved up to iteration 5",
        "updated      2026-01-01 12:00:00 UTC, 1 min 5 s ago",
        "data         /tmp/animals",
        "images       40 to train, 0 to test, 7 skipped",
        "classes      2: cat, dog\\x1b",
        "checkpoints  none yet",
        *(f"skipped      cat/{n}.jpg: torn" for n in range(5)),
        "             and 2 further images; --json names all",
    ]


def test_a_session_that_stopped_says_why() -> None:
    checkpoint = Checkpoint(number=4, phase="training", iteration=5, date=DATE, url="/tmp/log/4.json")
    stopped = replace(
        summary(),
        status=Status.FAILED,
        reason="StoreFull:\nno space",
        heartbeat_age=None,
        num_checkpoints=1_234,
        checkpoints=(checkpoint,),
        model_digest="ab" * 32,
        damaged=("blobs/1 is damaged",),
    )
    text = "\n".join(status_lines(stopped, DATE + timedelta(days=3)))
    assert "failed, StoreFull: no space" in text
    assert "3 days ago" in text
    assert "1,234, the newest is /tmp/log/4.json" in text
    assert f"sha256 {'ab' * 32}" in text
    assert "damaged      blobs/1 is damaged" in text


def test_an_export_says_what_was_checked() -> None:
    report = ExportReport(
        path="m",
        format="Core ML neural network",
        spec_version=4,
        size_bytes=13_400_000,
        num_images=4,
        max_difference=1e-7,
        verified=True,
    )
    line = "exported My\\x07.mlmodel: Core ML neural network, 13.4 MB, checked on 4 pictures"
    assert export_line("My\x07.mlmodel", report) == f"{line}: probabilities within 1e-07"
    timed = replace(report, num_photos=3, runtime="ONNX Runtime 1", seconds=0.0123, model_seconds=0.04)
    assert export_line("My\x07.mlmodel", timed) == (
        f"{line} (3 of the session): probabilities within 1e-07, 12.3 ms a picture in ONNX Runtime 1 (before: 40.0 ms)"
    )
    assert export_line("x", replace(report, verified=False)).endswith("13.4 MB, not verified")


def test_a_compressed_export_says_what_it_lost() -> None:
    loss = CompressionLoss(
        method="int8",
        uncompressed_size_bytes=13_400_000,
        num_images=200,
        num_changed=3,
        max_changed=0.05,
        max_difference=0.12,
    )
    report = ExportReport(
        path="m",
        format="Core ML program",
        spec_version=7,
        size_bytes=3_700_000,
        num_images=207,
        num_photos=200,
        max_difference=0.3,
        verified=True,
        compression=loss,
    )
    line = (
        "exported m: Core ML program, 3.7 MB in int8 (13.4 MB uncompressed), checked on 207 pictures (200 of the "
        "session): 3 of 200 get another label, probabilities within 1e-01"
    )
    assert export_line("m", report) == line
    tested = replace(loss, num_labeled=200, uncompressed_accuracy=0.94, accuracy=0.925)
    assert export_line("m", replace(report, compression=tested)) == (
        f"{line}, 92.5 % of 200 test images right (uncompressed: 94.0 %)"
    )
