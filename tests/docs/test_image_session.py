"""Chapters 12 and 13 of docs/format.md, on a real session of image classification and what lies beside it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import mlsession as ml
from mlsession.data.index import DIGEST_HEADER
from mlsession.session.session import TrainingSession
from mlsession.store.local import LocalStore
from mlsession.testing.invariants import check_session
from tests.photos import copy_photos

from .comparing import check_whole
from .reader import SessionFolder
from .stored import Object, arrays_of, parse, sha256, spelled, tensor_digest

DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"
LABELS = ("Banana", "Kiwi", "Lemon")
PHASES = ("extracting", "training", "evaluating")
ITERATIONS = 3


@dataclass(frozen=True)
class Made:
    """A finished session, the model it gave, and the folder of both."""

    folder: Path
    classifier: ml.Classifier
    name: str = "fruit.mlsession"

    @property
    def root(self) -> Path:
        return self.folder / self.name

    @property
    def reader(self) -> SessionFolder:
        return SessionFolder(self.root)

    def session(self) -> TrainingSession:
        return ml.Classifier.restore_training_session(ml.SessionParameters(self.root))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    train = copy_photos(folder / "train", "train", 3, LABELS)
    (train / "Kiwi" / "broken.jpg").write_bytes(b"not a picture")
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(train),
        ml.ModelParameters(validation=ml.Validation.split(0.25)),
        ml.SessionParameters(folder / "fruit.mlsession", checkpoint_interval=1, iterations=ITERATIONS),
        testing=ml.DataSource.labeled_directories(copy_photos(folder / "test", "test", 1, LABELS)),
    )
    return Made(folder, job.result())


@pytest.fixture(scope="module")
def with_validation(made: Made) -> Made:
    """The test images as validation data; all features are in the cache by then."""
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(made.folder / "train"),
        ml.ModelParameters(validation=ml.Validation.data(ml.DataSource.labeled_directories(made.folder / "test"))),
        ml.SessionParameters(made.folder / "other.mlsession", iterations=1),
    )
    return Made(made.folder, job.result(), "other.mlsession")


def index(made: Made, name: str) -> tuple[Any, list[str]]:
    """An attached index: its table, and the names of its labels."""
    body = made.reader.newest()[0].opened["body"]
    ref = body["attachments"].get(name) or body["identity"]["attachments"][name]
    table = pa.ipc.open_stream(made.reader.blob(ref)).read_all()
    return table, json.loads(table.schema.metadata[b"classes"])


def test_both_read_the_same_session(made: Made) -> None:
    folded = check_whole(made.root, PHASES)
    assert list(folded.newest) == list(PHASES)
    assert made.reader.status(folded) == "finished"
    assert made.reader.counting(folded, {"evaluating": folded.newest["evaluating"]["inputs"]}) == list(PHASES)
    assert made.reader.counting(folded, {}) == list(PHASES[:2])
    with made.session() as session:
        assert [entry["number"] for entry in made.reader.checkpoints(folded)] == [
            checkpoint.number for checkpoint in session.checkpoints
        ]


def test_the_model_is_the_one_that_was_trained(made: Made) -> None:
    arrays, data = made.reader.state(made.reader.newest()[0], "training")
    head = {name.removeprefix("head."): array for name, array in arrays.items() if name.startswith("head.")}
    assert tensor_digest(head) == made.classifier.model_digest
    # The head follows from the fit.
    weights = arrays["fit.weights"] / arrays["fit.scale"]
    bias = arrays["fit.bias"] - (weights * arrays["fit.mean"]).sum(axis=1)
    assert head["weight"].tobytes() == weights.astype("<f4").tobytes()
    assert head["bias"].tobytes() == bias.astype("<f4").tobytes()
    assert data["iteration"] == ITERATIONS
    with made.session() as session:
        for name, series in session.history.items():
            assert arrays[f"history.{name}"].tolist() == series
            assert len(series) == ITERATIONS


def test_every_training_checkpoint_holds_a_model(made: Made) -> None:
    with made.session() as session:
        for checkpoint in session.checkpoints:
            if checkpoint.phase != "training":
                continue
            folded = made.reader.fold(checkpoint.number, set())
            arrays, _ = made.reader.state(folded, "training")
            head = {name.removeprefix("head."): array for name, array in arrays.items() if name.startswith("head.")}
            assert tensor_digest(head) == ml.Classifier.from_checkpoint(checkpoint).model_digest


def test_the_index_names_the_images(made: Made) -> None:
    table, classes = index(made, "training_index")
    assert table.column_names == ["key", "label", "size", "version"]
    assert [str(field.type) for field in table.schema] == ["string", "int32", "int64", "string"]
    assert table.schema.metadata[b"ignored"] == b"0"
    assert classes == list(LABELS)
    keys = table["key"].to_pylist()
    assert keys == sorted(keys)
    assert [classes[label] for label in table["label"].to_pylist()] == [key.split("/")[0] for key in keys]
    for key, size in zip(keys, table["size"].to_pylist(), strict=True):
        assert (made.folder / "train" / key).stat().st_size == size


def test_every_image_has_a_row_of_features(made: Made) -> None:
    folded = made.reader.newest()[0]
    rows, (arrays, data) = made.reader.rows(folded, "extracting"), made.reader.state(folded, "extracting")
    keys = index(made, "training_index")[0]["key"].to_pylist()
    assert {name: (array.dtype.str, array.shape) for name, array in rows.items()} == {
        "features": ("<f4", (len(keys), 1280)),
        "digest": ("|u1", (len(keys), 32)),
        "readable": ("|u1", (len(keys),)),
    }
    for row, key in enumerate(keys):
        assert rows["digest"][row].tobytes() == hashlib.sha256((made.folder / "train" / key).read_bytes()).digest()
        assert rows["readable"][row] == (not key.endswith("broken.jpg")) == rows["features"][row].any()
    assert arrays["readable"].tolist() == rows["readable"].tolist()
    assert arrays["validation"].sum() == 2
    assert data["rows"] == len(keys)
    assert [keys[row] for row, _ in data["skipped"]] == ["Kiwi/broken.jpg"]


def test_every_image_has_an_evaluation(made: Made) -> None:
    folded = made.reader.newest()[0]
    rows, (arrays, data) = made.reader.rows(folded, "evaluating"), made.reader.state(folded, "evaluating")
    validation = made.reader.state(folded, "extracting")[0]["validation"]
    tables = {part: index(made, "test_index" if part == 2 else "training_index")[0] for part in (0, 1, 2)}
    features = made.reader.rows(folded, "extracting")["features"]
    head = made.reader.state(folded, "training")[0]
    for place, (part, row) in enumerate(zip(rows["part"].tolist(), rows["row"].tolist(), strict=True)):
        assert tables[part]["label"][row].as_py() == rows["truth"][place]
        if part < 2:
            assert validation[row] == part
            assert (features[row] @ head["head.weight"].T + head["head.bias"]).argmax() == rows["predicted"][place]
    for code, part in enumerate(("training", "validation", "test")):
        confusion = np.zeros((3, 3), dtype=np.int64)
        chosen = rows["part"] == code
        np.add.at(confusion, (rows["truth"][chosen], rows["predicted"][chosen]), 1)
        assert arrays[f"confusion.{part}"].tolist() == confusion.tolist()
        found = getattr(made.classifier, "testing_metrics" if part == "test" else f"{part}_metrics")
        assert found.count == chosen.sum() == confusion.sum() > 0
        assert found.log_loss == int(data["loss_units"][part]) * 2.0**-32 / chosen.sum()
        assert found.accuracy == np.trace(confusion) / chosen.sum()
    assert (rows["part"] == 2).sum() == 3
    assert set(data) == {"iteration", "items", "skipped", "loss_units"}


def test_rows_of_validation_images_count_through_the_corpus(with_validation: Made) -> None:
    folded = check_whole(with_validation.root, PHASES)
    rows = with_validation.reader.rows(folded, "evaluating")
    training, validation = (index(with_validation, f"{name}_index")[0] for name in ("training", "validation"))
    truth = [*training["label"].to_pylist(), *validation["label"].to_pylist()]
    assert rows["part"].tolist() == [0] * (len(training) - 1) + [1] * len(validation)
    assert rows["row"][rows["part"] == 1].tolist() == list(range(len(training), len(truth)))
    assert rows["truth"].tolist() == [truth[row] for row in rows["row"]]
    arrays, data = with_validation.reader.state(folded, "evaluating")
    assert (arrays["confusion.test"].sum(), data["loss_units"]["test"]) == (0, "0")


def test_the_inputs_of_evaluating_name_the_test_images(made: Made) -> None:
    table, classes = index(made, "test_index")
    text = b"".join(
        b"%d:%b," % (len(part), part)
        for row in table.to_pylist()
        for part in (row["key"].encode(), classes[row["label"]].encode(), b"%d" % row["size"], row["version"].encode())
    )
    digest = sha256(DIGEST_HEADER + text)
    assert DIGEST_HEADER == b"mlsession image index 1\n"
    assert made.reader.newest()[0].newest["evaluating"]["inputs"] == sha256(digest.encode())


def test_a_saved_classifier(made: Made, tmp_path: Path) -> None:
    made.classifier.write(tmp_path / "fruit.safetensors", ml.ModelMetadata(author="Ada"))
    tensors, metadata = arrays_of((tmp_path / "fruit.safetensors").read_bytes())
    about = parse(metadata["mlsession"].encode(), "model")
    parameters = made.reader.record(0)["body"]["identity"]["parameters"]["algorithm"]["feature_extractor"]
    assert tensor_digest(tensors) == made.classifier.model_digest
    assert about == {
        "format": 1,
        "labels": list(LABELS),
        "feature_extractor": {"kind": "scene_print", "revision": 2},
        "extractor_identity": parameters["identity"],
        "metadata": {
            "author": "Ada",
            "short_description": "An image classifier trained with mlsession.",
            "license": "",
            "version": "1",
            "additional": {},
        },
    }


def test_the_feature_cache(made: Made) -> None:
    identity = made.reader.record(0)["body"]["identity"]
    extractor = identity["parameters"]["algorithm"]["feature_extractor"]["identity"]
    stated = spelled([extractor, identity["numerics"]])
    folder = made.folder / ".mlsession-cache" / "features" / sha256(stated.encode())[:32]
    cached: dict[bytes, bytes] = {}
    for pack in folder.iterdir():
        data = pack.read_bytes()
        assert sha256(data) == pack.name
        arrays, _ = arrays_of(data)
        cached.update(
            (digest.tobytes(), row.tobytes()) for digest, row in zip(arrays["digest"], arrays["features"], strict=True)
        )
    rows = made.reader.rows(made.reader.newest()[0], "extracting")
    for digest, readable, features in zip(rows["digest"], rows["readable"], rows["features"], strict=True):
        assert cached.get(digest.tobytes()) == (features.tobytes() if readable else None)


def members(value: object) -> object:
    """The names in a record, without those that are data of a task."""
    if isinstance(value, dict):
        return {name: None if name in ("metrics", "numerics") else members(item) for name, item in value.items()}
    return None


def test_the_examples_have_the_members_of_real_records(made: Made) -> None:
    facts = check_session(LocalStore(made.root))
    assert facts is not None
    real = {}
    for record in facts.records:
        stored = json.loads(made.reader.record_bytes(record.number))
        real[record.kind.value, stored["body"].get("phase")] = stored
    text = DOCUMENT.read_text(encoding="utf-8")
    examples: list[Object] = [json.loads(block) for block in re.findall(r"```json\n(\{.*?\})\n```", text, re.DOTALL)]
    kinds = [example["kind"] for example in examples]
    assert sorted(kinds) == ["checkpoint", "checkpoint", "closed", "created", "opened", "removed"]
    for example in examples:
        if example["kind"] == "removed":
            assert members(example) == {**_of_any(real), "body": {"checkpoints": None, "keys": None}}
        else:
            shown = {**example, "index": None, "parent": None}
            found = real[example["kind"], example["body"].get("phase")]
            assert members(shown) == members({**found, "index": None, "parent": None})


def _of_any(real: dict[tuple[str, str | None], Object]) -> dict[str, None]:
    return dict.fromkeys(real["created", None])
