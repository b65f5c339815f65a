"""What a training hands to its workers and hears of them, and which choices there are."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.devices.choice import device_count, devices_of
from mlsession.devices.failures import failure_from_json, failure_to_json
from mlsession.errors import (
    DamagedData,
    InternalError,
    Interrupted,
    InvalidParameter,
    ModifiedTrainingData,
    SessionTakenOver,
    StoreFull,
    UnusableData,
    UsageError,
    WorkerLost,
)
from mlsession.events import CheckpointsRemoved, ItemSkipped, Progressed
from mlsession.job.handed import VARIABLE, handed, taken_over
from mlsession.job.report import ReportReader, ReportWriter
from mlsession.session.policy import Automatic, EveryIterations, EverySeconds
from mlsession.training.classifier import Classifier


@pytest.mark.parametrize("policy", [EveryIterations(iterations=3), EverySeconds(seconds=1.5), Automatic(longest=9.0)])
def test_workers_get_what_they_go_by(policy: ml.SessionParameters, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ml.SessionParameters(
        "s3://bucket/s",
        checkpoint_interval=policy,  # type: ignore[arg-type]
        keep_last=2,
        on_modified_data="ignore",
        cache=None,
        verify_content=True,
        take_over=True,
        devices=4,
        storage_options={"key": "secret", "client_kwargs": {"region_name": "x"}},
    )
    value = handed(given, {"training_source": {"anon": True}}, "/tmp/report", "/tmp/launcher")
    assert "secret" not in repr(value)
    monkeypatch.setenv(VARIABLE, value.encode())
    again = taken_over()
    assert VARIABLE not in os.environ
    # Taking over was for the process that started them, and how many they are is for their launcher to say.
    assert again == dataclasses.replace(value, parameters=dataclasses.replace(given, take_over=False, devices=1))
    assert taken_over() is None


def test_options_that_are_objects_cannot_be_handed_over() -> None:
    parameters = ml.SessionParameters("s3://bucket/s", storage_options={"session": object()})
    with pytest.raises(InvalidParameter, match=r"storage_options.*set the credentials in the environment"):
        handed(parameters, {}, "/tmp/report").encode()


def test_events_come_as_they_were(tmp_path: Path) -> None:
    events = [
        Progressed(phase="p", iteration=1, total=None, item_count=2, total_items=3, elapsed=0.5, metrics={"loss": 0.1}),
        ItemSkipped(phase="p", item="caf\udce9.jpg", reason="no photo"),
        CheckpointsRemoved(checkpoints=(1, 2)),
    ]
    writer, reader = ReportWriter(str(tmp_path / "report")), ReportReader(tmp_path / "report")
    assert reader.read() == []
    writer.tell(events[0])
    assert reader.read() == events[:1]
    with (tmp_path / "report").open("ab") as file:
        file.write(b'{"event": "item_ski')  # A worker was killed here.
    assert reader.read() == []
    with (tmp_path / "report").open("ab") as file:
        file.write(b"\n")
    for event in events[1:]:
        writer.tell(event)
    assert reader.read() == events[1:]
    writer.end(failure_to_json(UsageError("the reason")))
    assert reader.read() == []
    assert reader.failure is not None
    assert (reader.failure[0], reader.failure[1]["text"]) == (0, "the reason")
    ReportWriter(str(tmp_path / "missing" / "report")).tell(events[0])  # Nobody's training ends for it.


def test_what_ended_workers_before_has_ended_nobody_now(tmp_path: Path) -> None:
    """The first error of the newest start counts; stops and lost workers are no errors of their own."""
    reader, path = ReportReader(tmp_path / "report"), str(tmp_path / "report")

    def heard(start: int, *ended: tuple[int, Exception]) -> tuple[int, object] | None:
        for rank in (0, 1):
            ReportWriter(path, rank, start).begin()
        for rank, error in ended:
            ReportWriter(path, rank, start).end(failure_to_json(error))
        assert reader.read() == []
        return None if reader.failure is None else (reader.failure[0], reader.failure[1]["kind"])

    assert heard(0, (0, WorkerLost("gone")), (1, ValueError("x")), (0, KeyError("y"))) == (1, "ValueError")
    assert heard(1, (0, Interrupted("signal SIGTERM")), (1, WorkerLost("gone"))) is None
    ReportWriter(path, 1, 0).end(failure_to_json(ValueError("late")))
    assert heard(2, (0, InvalidParameter("devices", 2, "no"))) == (0, "InvalidParameter")
    assert heard(3) is None


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (InvalidParameter("epochs", 0, "too few"), InvalidParameter, r"epochs=0: too few \(rank 1 on .*\)"),
        (InvalidParameter("x", ZeroDivisionError, "no"), InvalidParameter, r"x=.*ZeroDivisionError.*: no \(rank 1 on"),
        (StoreFull("no space", "log/1"), StoreFull, r"rank 1 on .*: no space"),
        (UnusableData("folder", "is empty"), UsageError, r"rank 1 on .*: folder: is empty"),
        (DamagedData("blobs/1", "other bytes"), DamagedData, "blobs/1 is damaged: other bytes"),
        (ModifiedTrainingData((), (), (), ("a.jpg",), "undo it"), ModifiedTrainingData, r"1 replaced \(such as a.jpg"),
        (ModifiedTrainingData((), tuple(map(str, range(2_000))), (), (), "undo it"), UsageError, "2000 removed"),
        (SessionTakenOver("by another"), SessionTakenOver, "rank 1 on .*: by another"),
        (ZeroDivisionError("division by zero"), InternalError, r"rank 1 on .*: ZeroDivisionError: division by zero"),
    ],
)
def test_what_went_wrong_elsewhere_is_raised_here(error: Exception, kind: type[Exception], text: str) -> None:
    again = failure_from_json(failure_to_json(error), "rank 1")
    assert type(again) is kind
    with pytest.raises(kind, match=text):
        raise again


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("devices", 0, "1 or more"),
        ("devices", True, "whole number"),
        ("num_nodes", 0, "1 or more"),
        ("strategy", "fsdp2", "is called 'fsdp'"),
        ("strategy", "ddp_spawn", "torchrun's launcher"),
        ("strategy", "horovod", "must be 'auto' or 'ddp'"),
    ],
)
def test_other_choices_are_refused(name: str, value: object, text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        ml.SessionParameters("s", **{name: value})  # type: ignore[arg-type]


def test_a_number_of_devices_is_found() -> None:
    assert (devices_of("auto"), devices_of("3")) == ("auto", 3)
    assert (device_count(3, 8), device_count("auto", 8), device_count("auto", 0), device_count("auto", None)) == (
        3,
        8,
        1,
        1,
    )
    assert [device_count(3, None), device_count("auto", None), device_count(1, 0)] == [3, 1, 1], "a CPU takes all"
    for gpus, words in ((0, "no GPU"), (1, "one GPU"), (2, "2 GPUs")):
        with pytest.raises(InvalidParameter, match=f"devices=3: this machine has {words} that torch can use; ask for"):
            device_count(3, gpus)
    with pytest.raises(InvalidParameter, match="or auto"):
        devices_of("all")


def test_what_workers_cannot_do_is_said_before_they_start(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "1.jpg").write_bytes(label.encode())
    data = ml.DataSource.labeled_directories(tmp_path / "data")
    for parameters, text in (
        (ml.SessionParameters(tmp_path / "s", num_nodes=2), r"num_nodes=2: .*--create-only.*torchrun"),
        (ml.SessionParameters("memory://workers", devices=2), "memory of this process"),
        (ml.SessionParameters(tmp_path / "s", devices=2, storage_options=ml.FreshOptions(dict)), "asked for anew"),
    ):
        with pytest.raises(InvalidParameter, match=text):
            Classifier.train(data, session=parameters).result()
    compiled = ml.ModelParameters(algorithm=ml.FineTune(compile=True, keep="always"))
    parameters = ml.SessionParameters(tmp_path / "other", devices=2, strategy="fsdp")
    with pytest.raises(InvalidParameter, match=r"strategy='fsdp': does not go with compile=True; use 'ddp'"):
        Classifier.train(data, compiled, parameters).result()
