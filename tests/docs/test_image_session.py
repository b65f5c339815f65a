"""Chapters 12 and 13 of docs/format.md, on a real session of image classification and what lies beside it."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import mlsession as ml
from mlsession.data.index import DIGEST_HEADER
from mlsession.extractors.embedded.extractor import Lite1
from mlsession.session.session import TrainingSession
from mlsession.store.local import LocalStore
from mlsession.testing.invariants import check_session
from tests.photos import copy_photos

from .comparing import check_whole
from .reader import SessionFolder
from .stored import Object, arrays_of, parse, score_bin, sha256, spelled, table_of, tensor_digest

pytestmark = pytest.mark.sampled(0.6)

DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"
LABELS = ("Banana", "Kiwi", "Lemon")
PHASES = ("extracting", "selecting", "training", "evaluating")
WITHOUT = tuple(phase for phase in PHASES if phase != "selecting")
PARTS = ("training", "validation", "test")
TABLES = {"confusion": (3, 3), "positives": (3, 1024), "negatives": (3, 1024), "confidence": (2, 1024)}
"""Of a state of evaluating three classes, with their widths."""
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
def with_perceptron(made: Made) -> Made:
    """Another kind of head on the same photos; all features are in the cache by then."""
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(made.folder / "train"),
        ml.ModelParameters(
            algorithm=ml.TransferLearning(classifier=ml.MultilayerPerceptron(layer_sizes=(12, 7))),
            validation=ml.Validation.none(),
        ),
        ml.SessionParameters(made.folder / "perceptron.mlsession", iterations=ITERATIONS),
    )
    return Made(made.folder, job.result(), "perceptron.mlsession")


@pytest.fixture(scope="module")
def with_validation(made: Made) -> Made:
    """The test images as validation data; all features are in the cache by then."""
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(made.folder / "train"),
        ml.ModelParameters(validation=ml.Validation.data(ml.DataSource.labeled_directories(made.folder / "test"))),
        ml.SessionParameters(made.folder / "other.mlsession", iterations=1),
    )
    return Made(made.folder, job.result(), "other.mlsession")


@pytest.fixture(scope="module")
def augmented(made: Made) -> Made:
    """With two views beside each photo; the photos themselves are in the cache by then."""
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(made.folder / "train"),
        ml.ModelParameters(augmentation=["flip", ml.Rotate(views=1)], validation=ml.Validation.split(0.25)),
        ml.SessionParameters(made.folder / "augmented.mlsession", iterations=1),
    )
    return Made(made.folder, job.result(), "augmented.mlsession")


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
    assert made.reader.counting(folded, {}) == list(PHASES[:3])
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
    assert data["head"] == made.reader.record(0)["body"]["identity"]["parameters"]["algorithm"]["classifier"]["kind"]
    with made.session() as session:
        for name, series in session.history.items():
            assert arrays[f"history.{name}"].tolist() == series
            assert len(series) == ITERATIONS


@pytest.fixture(scope="module")
def with_choice(made: Made) -> Made:
    """Of so many photos that a penalty is chosen, saved after each step."""
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(copy_photos(made.folder / "more", "train", 9, LABELS)),
        ml.ModelParameters(
            algorithm=ml.TransferLearning(classifier=ml.LogisticRegressor(class_weight={"Kiwi": 2.0})),
            validation=ml.Validation.none(),
        ),
        ml.SessionParameters(made.folder / "chosen.mlsession", checkpoint_interval=5, iterations=2),
    )
    return Made(made.folder, job.result(), "chosen.mlsession")


def test_nothing_is_chosen_on_few_images(made: Made) -> None:
    arrays, data = made.reader.state(made.reader.newest()[0], "selecting")
    chosen = data["chosen"]
    assert (arrays, chosen["kind"], chosen["strength"], chosen["scores"]) == ({}, "default", None, [])
    assert chosen["comparisons"] == []
    assert chosen["classifier"] == made.reader.record(0)["body"]["identity"]["parameters"]["algorithm"]["classifier"]
    assert made.reader.state(made.reader.newest()[0], "training")[1]["temperature"] == 1.0


def test_what_was_chosen_is_what_is_trained(with_choice: Made) -> None:
    reader = with_choice.reader
    folded = check_whole(with_choice.root, PHASES)
    arrays, data = reader.state(folded, "selecting")
    chosen, features = data["chosen"], reader.rows(folded, "extracting")["features"].astype(np.float64)
    assert (chosen["kind"], chosen["folds"], chosen["judged"]) == ("cross-validation", 5, len(features))
    best = min(chosen["scores"], key=lambda score: score["log_loss"])
    assert (chosen["strength"], chosen["temperature"]) == (best["strength"], best["temperature"])
    l2 = best["strength"] * features.var(axis=0).mean() / len(features)
    assert chosen["classifier"]["l2"] == pytest.approx(l2, rel=1e-9)
    trained, about = reader.state(folded, "training")
    assert about["l2"] == chosen["classifier"]["l2"]
    assert trained["fit.class_weights"].tolist() == [1.0, 2.0, 1.0]
    weights = (trained["fit.weights"] / trained["fit.scale"]).astype("<f4")
    tempered = (weights.astype("<f8") / about["temperature"]).astype("<f4")
    assert about["temperature"] == chosen["temperature"] != 1.0
    assert trained["head.weight"].tobytes() == tempered.tobytes()
    # Training began near its end.
    truth = [LABELS.index(key.split("/")[0]) for key in index(with_choice, "training_index")[0]["key"].to_pylist()]
    logits = features @ arrays["start.weights"].T + arrays["start.bias"]
    assert (logits.argmax(axis=1) == truth).all()


def test_a_choice_that_is_cut_short_holds_what_it_has_judged(with_choice: Made) -> None:
    reader, seen = with_choice.reader, 0
    with with_choice.session() as session:
        chosen = [one.number for one in session.checkpoints if one.phase == "selecting"]
    for number in chosen[:-1]:
        arrays, data = reader.state(reader.fold(number, set()), "selecting")
        assert set(arrays) == {"solutions", "logits", "best_point", "best_logits"}
        assert data["candidate"] == "logistic_regressor"
        assert arrays["solutions"].shape == (5, 3 * 1280 + 3)
        assert (data["fit"], data["iteration"]) == (None, 5 * len(data["scores"]) + data["fold"])
        if (
            data["scores"]
            and data["fold"] == 0
            and data["scores"][-1] == min(data["scores"], key=lambda score: score["log_loss"])
        ):
            seen += 1
            assert arrays["logits"].tobytes() == arrays["best_logits"].tobytes()
            assert arrays["best_point"].tolist() == pytest.approx(arrays["solutions"].mean(axis=0))
    assert seen


@pytest.fixture(scope="module")
def with_views(with_choice: Made) -> Made:
    """Of the same photos, of which views are to be chosen as well."""
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(with_choice.folder / "more"),
        ml.ModelParameters(
            augmentation=ml.AutomaticAugmentation(options=["flip", "flip-vertical"]), validation=ml.Validation.none()
        ),
        ml.SessionParameters(with_choice.folder / "views.mlsession", checkpoint_interval=6, iterations=2),
    )
    return Made(with_choice.folder, job.result(), "views.mlsession")


def test_views_that_were_kept_are_those_that_are_trained_on(with_views: Made) -> None:
    reader = with_views.reader
    folded, names = check_whole(with_views.root, PHASES), ["flip", "flip-vertical"]
    assert reader.record(0)["body"]["identity"]["parameters"]["augmentation"] == {
        "kind": "automatic",
        "options": [
            {"kind": "flip", "horizontal": True, "vertical": False},
            {"kind": "flip", "horizontal": False, "vertical": True},
        ],
    }
    extracted, images = reader.rows(folded, "extracting"), 9 * len(LABELS)
    assert extracted["view"].tolist() == [0, 1, 2] * images
    chosen = reader.state(folded, "selecting")[1]["chosen"]
    views, difference = chosen["views"], chosen["views"]["difference"]
    sets = {tuple(each["views"]): each for each in views["judged"]}
    assert list(sets)[:3] == [(), ("flip",), ("flip-vertical",)]
    best = min((each for each in views["judged"] if each["views"]), key=lambda each: each["log_loss"])
    gained, lost = difference["gained"], difference["lost"]
    assert difference["judged"] == chosen["judged"] == images
    assert difference["difference"] == (gained - lost) / images
    assert best["accuracy"] - sets[()]["accuracy"] == pytest.approx(difference["difference"])
    assert views["kept"] == (best["views"] if gained > lost and (gained - lost) ** 2 > gained + lost else [])
    assert chosen["scores"]
    assert views["fits"] >= len(sets) * 5
    trained = reader.state(folded, "training")[1]
    assert trained["rows"] == images * (1 + len(views["kept"]))
    used = np.isin(extracted["view"], [0, *(names.index(name) + 1 for name in views["kept"])])
    l2 = chosen["strength"] * extracted["features"][used].astype(np.float64).var(axis=0).mean() / used.sum()
    assert chosen["classifier"]["l2"] == pytest.approx(l2, rel=1e-9)


def test_a_choice_of_views_that_is_cut_short_holds_what_it_has_judged(with_views: Made) -> None:
    reader, seen = with_views.reader, set[tuple[bool, bool]]()
    with with_views.session() as session:
        numbers = [one.number for one in session.checkpoints if one.phase == "selecting"]
    for number in numbers[:-1]:
        arrays, data = reader.state(reader.fold(number, set()), "selecting")
        assert "candidate" not in data
        assert (data["views"]["difference"], data["views"]["kept"]) == (None, [])
        judged = data["views"]["judged"]
        assert ("plain" in data, "best" in data) == (len(judged) >= 1, len(judged) >= 2)
        names = {"solutions", "logits", "best_point", "best_logits"} if data["is_judging"] else set[str]()
        for name in ("plain", "best"):
            if name in data:
                names |= {f"{name}.start.weights", f"{name}.start.bias", f"{name}.right"}
                least = judged[0] if name == "plain" else min(judged[1:], key=lambda each: float(each["log_loss"]))
                assert data[name]["log_loss"] == least["log_loss"]
                assert arrays[f"{name}.right"].mean() == pytest.approx(least["accuracy"])
        assert set(arrays) == names
        seen.add((data["is_judging"], "best" in data))
    assert {(True, False), (True, True)} <= seen


@pytest.fixture(scope="module")
def with_extractors(with_choice: Made) -> Made:
    """Of two fruits that are easy to mix up, and an extractor that is chosen."""
    photos = copy_photos(with_choice.folder / "alike", "train", 20, ("Lemon", "Satsumas"))
    job = ml.Classifier.train(
        ml.DataSource.labeled_directories(photos),
        ml.ModelParameters(
            algorithm=ml.TransferLearning(
                feature_extractor=ml.AutomaticExtractor(candidates=[Lite1(), ml.scene_print()])
            ),
            validation=ml.Validation.none(),
        ),
        ml.SessionParameters(with_choice.folder / "extractors.mlsession", checkpoint_interval=5, iterations=1),
    )
    return Made(with_choice.folder, job.result(), "extractors.mlsession")


def test_an_extractor_that_was_chosen_is_the_one_that_is_used(with_extractors: Made) -> None:
    reader, phases = with_extractors.reader, ("choosing", *PHASES)
    folded = check_whole(with_extractors.root, phases)
    fixed = reader.record(0)["body"]["identity"]["parameters"]["algorithm"]["feature_extractor"]
    assert (fixed["kind"], fixed["most_images"]) == ("auto", 1500)
    names = [each["name"] for each in fixed["candidates"]]
    arrays, data = reader.state(folded, "choosing")
    assert (set(arrays), set(data)) == ({"used"}, {"chosen"})
    chosen, rows = data["chosen"], reader.rows(folded, "choosing")
    assert (chosen["names"], chosen["images"], chosen["folds"], chosen["judged"]) == (names, 40, 5, 40)
    first, second = chosen["ratings"]
    (compared,) = chosen["comparisons"]
    gained, lost = compared["gained"], compared["lost"]
    assert (compared["first"], compared["second"], compared["judged"]) == (*names, 40)
    assert (first["extractor"], second["extractor"]) == tuple(names)
    assert compared["difference"] == (gained - lost) / 40
    assert second["accuracy"] - first["accuracy"] == pytest.approx(compared["difference"])
    kept = gained > lost and (gained - lost) ** 2 > gained + lost
    assert chosen["kept"] == compared["kept"] == names[kept] == "scene_print:2"
    assert arrays["used"].tobytes() == b"".join(sorted({each.tobytes() for each in rows["digest"]}))
    # What was kept has extracted all that the session has.
    assert rows["candidate"].tolist() == [0] * 40 + [1] * 40
    mine, extracted = rows["candidate"] == kept, reader.rows(folded, "extracting")
    for name in ("features", "digest", "readable"):
        assert rows[name][mine].tobytes() == extracted[name].tobytes()


def test_a_choice_of_extractors_that_is_cut_short_holds_what_it_has_judged(with_extractors: Made) -> None:
    reader, seen = with_extractors.reader, set[tuple[int, bool]]()
    table, classes = index(with_extractors, "training_index")
    labels, keys = table["label"].to_pylist(), table["key"].to_pylist()
    assert len(classes) == 2
    sample = hashlib.sha256("\n".join(map("{} {}".format, labels, keys)).encode()).hexdigest()
    with with_extractors.session() as session:
        numbers = [one.number for one in session.checkpoints if one.phase == "choosing"]
    for number in numbers[:-1]:
        held = reader.fold(number, set())
        arrays, data = reader.state(held, "choosing")
        assert set(data) == {"iteration", "images", "sample", "choice", "path"}
        assert data["sample"] == sample
        judged = data["choice"]["ratings"]
        assert len(reader.rows(held, "choosing")["digest"]) == 40 * len(judged) + data["images"]
        assert arrays["right"].shape == ((40,) if judged else (0,))
        if judged:
            assert arrays["right"].mean() == pytest.approx(judged[0]["accuracy"])
        path = {"path.solutions", "path.logits", "path.best_point", "path.best_logits"}
        assert set(arrays) == {"right", *(path if data["path"] else ())}
        if data["path"]:
            assert set(data["path"]) == {"scores", "fold", "fit"}
            assert arrays["path.solutions"].shape == (5, 2 * 1280 + 2)
        seen.add((len(judged), data["path"] is not None))
    assert {(0, True), (1, True)} <= seen


def test_a_perceptron_is_the_one_that_was_trained(with_perceptron: Made) -> None:
    folded = check_whole(with_perceptron.root, WITHOUT)
    arrays, data = with_perceptron.reader.state(folded, "training")
    chosen = with_perceptron.reader.record(0)["body"]["identity"]["parameters"]["algorithm"]["classifier"]
    head = {name.removeprefix("head."): array for name, array in arrays.items() if name.startswith("head.")}
    assert tensor_digest(head) == with_perceptron.classifier.model_digest
    assert (data["head"], data["iteration"]) == ("multilayer_perceptron", ITERATIONS)
    assert chosen == {
        "kind": "multilayer_perceptron",
        "layer_sizes": [12, 7],
        "learning_rate": 0.001,
        "weight_decay": 0.0,
        "dropout": 0.2,
        "batch_size": None,
        "tolerance": 0.0001,
        "early_stopping": True,
        "class_weight": None,
    }
    sizes = data["layer_sizes"]
    assert sizes == [1280, 12, 7, len(LABELS)]
    assert data["steps"] == ITERATIONS * -(-data["rows"] // data["batch_size"])
    # Too few images to hold any out.
    assert (arrays["fit.held_out"].shape, arrays["fit.best_weights"].shape) == ((0,), (0,))
    assert (data["temperature"], data["best_iteration"]) == (1.0, ITERATIONS)
    assert arrays["fit.class_weights"].tolist() == [1.0] * len(LABELS)
    # The head follows from the fit, layer by layer.
    start = 0
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        stop = start + outputs * inputs
        weight = arrays["fit.weights"][start:stop].reshape(outputs, inputs)
        bias, start = arrays["fit.weights"][stop : stop + outputs], stop + outputs
        if layer == 0:
            exact = weight.astype("<f8") / arrays["fit.scale"]
            bias = (bias.astype("<f8") - (exact * arrays["fit.mean"]).sum(axis=1)).astype("<f4")
            weight = exact.astype("<f4")
        assert head[f"layers.{layer}.weight"].tobytes() == weight.tobytes()
        assert head[f"layers.{layer}.bias"].tobytes() == bias.tobytes()
    vectors = [arrays[f"fit.{name}"] for name in ("weights", "first_moments", "second_moments")]
    assert {(vector.dtype.str, vector.shape) for vector in vectors} == {("<f4", (start,))}
    assert arrays["history.loss"].tolist() == arrays["fit.losses"].tolist()
    assert arrays["history.loss"].shape == (ITERATIONS,)


def test_a_perceptron_says_what_its_state_says(with_perceptron: Made, tmp_path: Path) -> None:
    folded = with_perceptron.reader.newest()[0]
    rows, state = (with_perceptron.reader.rows(folded, phase) for phase in ("extracting", "evaluating"))
    head = with_perceptron.reader.state(folded, "training")[0]
    values = rows["features"][state["row"]]
    for layer in range(3):
        values = values @ head[f"head.layers.{layer}.weight"].T + head[f"head.layers.{layer}.bias"]
        values = np.maximum(values, 0) if layer < 2 else values
    assert values.argmax(axis=1).tolist() == state["top"][:, 0].tolist()
    with_perceptron.classifier.write(tmp_path / "fruit.safetensors")
    tensors, metadata = arrays_of((tmp_path / "fruit.safetensors").read_bytes())
    assert parse(metadata["mlsession"].encode(), "model")["head"] == "multilayer_perceptron"
    assert {f"head.{name}": array.tobytes() for name, array in tensors.items()} == {
        name: array.tobytes() for name, array in head.items() if name.startswith("head.")
    }


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
        "features": ("<f2", (len(keys), 1280)),
        "view": ("|u1", (len(keys),)),
        "digest": ("|u1", (len(keys), 32)),
        "readable": ("|u1", (len(keys),)),
    }
    for row, key in enumerate(keys):
        assert rows["digest"][row].tobytes() == hashlib.sha256((made.folder / "train" / key).read_bytes()).digest()
        assert rows["readable"][row] == (not key.endswith("broken.jpg")) == rows["features"][row].any()
    assert arrays["readable"].tolist() == rows["readable"].tolist()
    digests = [digest.tobytes() for digest in rows["digest"]]
    firsts = [(row, digests.index(digests[row])) for row in np.flatnonzero(rows["readable"]).tolist()]
    assert arrays["copies"].dtype.str == "<i8"
    assert arrays["copies"].tolist() == [list(pair) for pair in firsts if pair[0] != pair[1]]
    assert arrays["validation"].sum() == 2
    assert data["rows"] == len(keys)
    assert [keys[row] for row, _ in data["skipped"]] == ["Kiwi/broken.jpg"]


def test_with_augmentation_every_view_has_a_row(made: Made, augmented: Made) -> None:
    folded = check_whole(augmented.root, PHASES)
    body = folded.opened["body"]["identity"]
    assert body["parameters"]["augmentation"] == [
        {"kind": "flip", "horizontal": True, "vertical": False},
        {"kind": "rotate", "views": 1, "degrees": [-15.0, 15.0]},
    ]
    rows, (arrays, data) = augmented.reader.rows(folded, "extracting"), augmented.reader.state(folded, "extracting")
    images = len(arrays["readable"])
    assert rows["view"].tolist() == [0, 1, 2] * images
    assert data["rows"] == 3 * images
    plain = made.reader.rows(made.reader.newest()[0], "extracting")
    for name in ("features", "digest", "readable"):
        assert rows[name][rows["view"] == 0].tobytes() == plain[name].tobytes()
    for name in ("digest", "readable"):
        assert (rows[name] == np.repeat(plain[name], 3, axis=0)).all()
    assert rows["features"].any(axis=1).tolist() == rows["readable"].astype(bool).tolist()
    # Trained on: all views of what is readable and not held out; evaluated: the images themselves.
    used = (arrays["readable"] == 1) & (arrays["validation"] == 0)
    assert augmented.reader.state(folded, "training")[1]["rows"] == 3 * used.sum()
    evaluated = augmented.reader.rows(folded, "evaluating")
    assert sorted(evaluated["row"].tolist()) == np.flatnonzero(arrays["readable"]).tolist()
    assert evaluated["row"][evaluated["part"] == 0].tolist() == np.flatnonzero(used).tolist()


def test_every_image_has_an_evaluation(made: Made) -> None:
    folded = made.reader.newest()[0]
    rows = made.reader.rows(folded, "evaluating")
    validation = made.reader.state(folded, "extracting")[0]["validation"]
    tables = {part: index(made, "test_index" if part == 2 else "training_index")[0] for part in (0, 1, 2)}
    features = made.reader.rows(folded, "extracting")["features"]
    head = made.reader.state(folded, "training")[0]
    for place, (part, row) in enumerate(zip(rows["part"].tolist(), rows["row"].tolist(), strict=True)):
        truth = rows["truth"][place]
        assert tables[part]["label"][row].as_py() == truth
        assert sorted(rows["top"][place].tolist()) == [0, 1, 2]
        assert rows["top"][place].tolist().index(truth) == rows["rank"][place]
        assert rows["top_confidence"][place][rows["rank"][place]] == rows["truth_confidence"][place]
        assert (np.diff(rows["top_confidence"][place]) <= 0).all()
        if part < 2:
            assert validation[row] == part
            logits = features[row] @ head["head.weight"].T + head["head.bias"]
            powers = np.exp(logits - logits.max())[rows["top"][place]]
            np.testing.assert_allclose(rows["top_confidence"][place], powers / powers.sum(), rtol=1e-4)
    assert (rows["part"] == 2).sum() == 3


def test_the_sums_of_an_evaluation_are_those_of_its_rows(made: Made) -> None:
    folded = made.reader.newest()[0]
    rows, (arrays, data) = made.reader.rows(folded, "evaluating"), made.reader.state(folded, "evaluating")
    names = {"ranks", "calibration", *(f"{t}.{n}" for t in TABLES for n in ("places", "counts"))}
    assert set(arrays) == {f"{part}.{name}" for part in PARTS for name in names}
    added_up = {"loss_units", "loss_squares", "brier_units"}
    assert set(data) == {"iteration", "items", "skipped", "leaked", "short_sides", *added_up}
    assert len(data["short_sides"]) == len(index(made, "training_index")[0]["key"]) - 1 <= 64  # One is no picture.
    for code, part in enumerate(PARTS):
        expected = {name: np.zeros(shape, dtype=np.int64) for name, shape in TABLES.items()}
        ranks, calibration, units = [0] * 3, np.zeros((15, 3), dtype=np.int64), 0
        squares = brier = 0
        for place in np.flatnonzero(rows["part"] == code):
            truth, rank = rows["truth"][place], rows["rank"][place]
            top, shares = rows["top"][place], rows["top_confidence"][place].tolist()
            expected["confusion"][truth, top[0]] += 1
            ranks[rank] += 1
            for label, share in zip(top, shares, strict=True):
                expected["positives" if label == truth else "negatives"][label, score_bin(share)] += 1
            calibration[min(int(15 * shares[0]), 14)] += (1, rank == 0, round(shares[0] * 2**32))
            expected["confidence"][int(rank == 0), score_bin(shares[0])] += 1
            loss = round(-math.log(max(rows["truth_confidence"][place], 1e-15)) * 2**32)
            units, squares = units + loss, squares + loss**2
            brier += sum(
                round((share - (label == truth)) ** 2 * 2**40) for label, share in zip(top, shares, strict=True)
            )
        for name, table in expected.items():
            assert table_of(arrays, f"{part}.{name}", table.shape).tolist() == table.tolist()
        assert arrays[f"{part}.ranks"].tolist() == ranks
        assert arrays[f"{part}.calibration"].tolist() == calibration.tolist()
        sums = {"loss_units": units, "loss_squares": squares, "brier_units": brier}
        assert {name: data[name][part] for name in sums} == {name: str(value) for name, value in sums.items()}


def test_images_that_are_also_trained_on_are_counted(made: Made) -> None:
    folded = made.reader.newest()[0]
    rows, leaked = made.reader.rows(folded, "evaluating"), made.reader.state(folded, "evaluating")[1]["leaked"]
    extracted, (arrays, _) = made.reader.rows(folded, "extracting"), made.reader.state(folded, "extracting")
    trained_on = {
        digest.tobytes()
        for digest, chosen in zip(extracted["digest"], arrays["readable"] > arrays["validation"], strict=True)
        if chosen
    }
    keys = index(made, "test_index")[0]["key"].to_pylist()
    contents = {
        1: [digest.tobytes() for digest in extracted["digest"]],
        2: [hashlib.sha256((made.folder / "test" / key).read_bytes()).digest() for key in keys],
    }
    assert leaked.keys() == {"validation", "test"}
    for code in (1, 2):
        ranks = [
            rank
            for part, row, rank in zip(*(rows[name].tolist() for name in ("part", "row", "rank")), strict=True)
            if part == code and contents[code][row] in trained_on
        ]
        assert leaked[PARTS[code]] == {"images": len(ranks), "right": ranks.count(0)}


def test_metrics_follow_from_the_sums(made: Made) -> None:
    arrays, data = made.reader.state(made.reader.newest()[0], "evaluating")
    for part in PARTS:
        found = getattr(made.classifier, "testing_metrics" if part == "test" else f"{part}_metrics")
        confusion = table_of(arrays, f"{part}.confusion", (3, 3))
        count = confusion.sum()
        assert found.count == count > 0
        assert found.accuracy == np.trace(confusion) / count
        assert found.log_loss == int(data["loss_units"][part]) * 2.0**-32 / count
        for k in (1, 2, 3):
            assert found.top_k_accuracy(k) == arrays[f"{part}.ranks"][:k].sum() / count
        assert found.brier_score == int(data["brier_units"][part]) / 2**40 / count
        bins = arrays[f"{part}.calibration"]
        gaps = np.abs(bins[:, 2] / 2**32 - bins[:, 1]).sum() / count
        assert found.expected_calibration_error == pytest.approx(gaps, abs=1e-12)
        positives, negatives = (table_of(arrays, f"{part}.{name}", (3, 1024)) for name in ("positives", "negatives"))
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        defined = pairs > 0
        areas = (positives * below).sum(axis=1)[defined] / pairs[defined]
        np.testing.assert_allclose(found.roc_auc[defined], areas, rtol=1e-12)
        assert np.isnan(found.roc_auc[~defined]).all()


def test_rows_of_validation_images_count_through_the_corpus(with_validation: Made) -> None:
    folded = check_whole(with_validation.root, PHASES)
    rows = with_validation.reader.rows(folded, "evaluating")
    training, validation = (index(with_validation, f"{name}_index")[0] for name in ("training", "validation"))
    truth = [*training["label"].to_pylist(), *validation["label"].to_pylist()]
    assert rows["part"].tolist() == [0] * (len(training) - 1) + [1] * len(validation)
    assert rows["row"][rows["part"] == 1].tolist() == list(range(len(training), len(truth)))
    assert rows["truth"].tolist() == [truth[row] for row in rows["row"]]
    arrays, data = with_validation.reader.state(folded, "evaluating")
    assert (len(arrays["test.confusion.counts"]), data["loss_units"]["test"]) == (0, "0")


def test_the_inputs_of_evaluating_name_the_test_images(made: Made) -> None:
    table, classes = index(made, "test_index")
    rows = table.to_pylist()
    digested = DIGEST_HEADER + struct.pack("<q", len(rows))
    for name in ("key", "label", "version"):
        encoded = [(classes[row[name]] if name == "label" else row[name]).encode() for row in rows]
        digested += struct.pack(f"<{len(rows)}q", *accumulate(map(len, encoded))) + b"".join(encoded)
    digest = sha256(digested + struct.pack(f"<{len(rows)}q", *(row["size"] for row in rows)))
    assert DIGEST_HEADER == b"mlsession image index 1\n"
    assert made.reader.newest()[0].newest["evaluating"]["inputs"] == sha256(digest.encode())


FACTS = ("version", "model_digest", "feature_extractor", "classifier", "num_classes", "temperature")


def test_a_saved_classifier(made: Made, tmp_path: Path) -> None:
    made.classifier.write(tmp_path / "fruit.safetensors", ml.ModelMetadata(author="Ada"))
    tensors, metadata = arrays_of((tmp_path / "fruit.safetensors").read_bytes())
    about = parse(metadata["mlsession"].encode(), "model")
    parameters = made.reader.record(0)["body"]["identity"]["parameters"]["algorithm"]["feature_extractor"]
    assert tensor_digest(tensors) == made.classifier.model_digest
    digest = about.pop("sha256")
    assert digest == sha256(spelled(about).encode() + b"\0" + tensor_digest(tensors).encode())
    additional = about["metadata"].pop("additional")
    measured = {
        f"mlsession.{part}_{what}" for part in ("training", "validation", "test") for what in ("images", "accuracy")
    }
    assert set(additional) - measured == {f"mlsession.{name}" for name in FACTS}
    assert additional["mlsession.model_digest"] == made.classifier.model_digest
    assert additional["mlsession.num_classes"] == str(len(LABELS))
    assert all(isinstance(value, str) for value in additional.values())
    assert additional["mlsession.temperature"] == repr(made.classifier.temperature)
    folded = made.reader.newest()[0]
    assert made.reader.state(folded, "training")[1]["temperature"] == made.classifier.temperature
    assert about == {
        "format": 1,
        "labels": list(LABELS),
        "head": "logistic_regressor",
        "temperature": made.classifier.temperature,
        "feature_extractor": {"kind": "scene_print", "revision": 2},
        "extractor_identity": parameters["identity"],
        "precision": "auto",
        "metadata": {
            "author": "Ada",
            "short_description": "An image classifier trained with mlsession.",
            "license": "",
            "version": "1",
        },
    }


def test_the_feature_cache(made: Made, augmented: Made) -> None:
    cached = packs(made)
    rows = made.reader.rows(made.reader.newest()[0], "extracting")
    for digest, readable, features in zip(rows["digest"], rows["readable"], rows["features"], strict=True):
        assert cached.get(digest.tobytes()) == (features.tobytes() if readable else None)
    rows = augmented.reader.rows(augmented.reader.newest()[0], "extracting")
    augmenter = augmented.reader.record(0)["body"]["identity"]["numerics"]["augmenter"]
    for row in np.flatnonzero((rows["view"] == 1) & (rows["readable"] == 1)):
        effect = {"kind": "flip", "horizontal": 1, "vertical": 0}
        named = spelled([rows["digest"][row].tobytes().hex(), augmenter, effect])
        assert cached[hashlib.sha256(named.encode()).digest()] == rows["features"][row].tobytes()


def packs(made: Made) -> dict[bytes, bytes]:
    """The rows in the cache by their names."""
    identity = made.reader.record(0)["body"]["identity"]
    extractor = identity["parameters"]["algorithm"]["feature_extractor"]["identity"]
    stated = spelled([extractor, identity["numerics"]["extractor"]])
    folder = made.folder / ".mlsession-cache" / "features" / sha256(stated.encode())[:32]
    cached: dict[bytes, bytes] = {}
    for pack in folder.iterdir():
        data = pack.read_bytes()
        assert sha256(data) == pack.name
        arrays, _ = arrays_of(data)
        cached.update(
            (digest.tobytes(), row.tobytes()) for digest, row in zip(arrays["digest"], arrays["features"], strict=True)
        )
    return cached


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
