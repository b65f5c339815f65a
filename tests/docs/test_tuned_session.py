"""What chapter 12 of docs/format.md says of fine-tuning, on a real session with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.extractors.trainable import trainable_network
from tests.extractors.networks import save_weights, timm_network
from tests.photos import copy_photos

from .comparing import check_whole
from .reader import SessionFolder
from .stored import tensor_digest

PHASES = ("extracting", "training", "finetuning", "evaluating")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ml.Classifier]:
    """A session of 9 photos, 3 of them held out, in two steps and one look an epoch."""
    folder = tmp_path_factory.mktemp("made")
    save_weights(timm_network("test_efficientnet"), folder / "weights.safetensors")
    copy_photos(folder / "train", "train", 3, ("Banana", "Kiwi", "Lemon"))
    algorithm = ml.FineTune(
        feature_extractor=ml.timm_extractor("test_efficientnet", folder / "weights.safetensors"),
        epochs=2,
        batch_size=3,
        ema=0.9,
        keep="always",
    )
    parameters = ml.ModelParameters(algorithm=algorithm, validation=ml.Validation.split(0.34), tune="off")
    where = ml.SessionParameters(folder / "session", iterations=1, cache=None, checkpoint_interval=1)
    job = ml.Classifier.train(ml.DataSource.labeled_directories(folder / "train"), parameters, where)
    return folder, job.result()


def test_the_members_are_those_of_the_document(made: tuple[Path, ml.Classifier]) -> None:
    folder, _ = made
    spec = ml.timm_extractor("test_efficientnet", folder / "weights.safetensors")
    folded = check_whole(folder / "session", PHASES)
    assert list(folded.newest) == list(PHASES)
    reader = SessionFolder(folder / "session")
    identity = folded.opened["body"]["identity"]
    assert identity["parameters"]["algorithm"]["finetune"] == {
        **{"epochs": 2, "unfreeze": "all", "learning_rate": 1e-3, "layer_decay": 0.9, "weight_decay": 0.01},
        **{"label_smoothing": 0.0, "mixup": 0.0, "warmup": 0.1, "schedule": "cosine", "ema": 0.9, "batch_size": 3},
        **{"gradient_accumulation": "auto", "compile": False, "keep": "always"},
    }
    tuned_with = {"backend", "precision", "threads", "instructions", "decoder", "preparation", "library"}
    assert set(identity["numerics"]["finetuning"]) == tuned_with
    network = dict(trainable_network(spec).named_parameters())
    count = sum(parameter.numel() for parameter in network.values()) + 3 * spec.dimension + 3
    plain = {"iteration", "updates", "micro_batch", "scale", "scale_updates", "loss", "right", "seen", "head_only"}
    commits = [each for each in reader.checkpoints(folded) if each["phase"] == "finetuning"]
    assert [each["iteration"] for each in commits] == [1, 2, 3, 4, 5, 6]
    for commit in commits[:-1]:
        arrays, data = reader.state(reader.fold(commit["number"], set()), "finetuning")
        vectors = {name: arrays[name] for name in ("point", "first_moments", "second_moments", "average")}
        assert {(array.dtype.name, array.shape) for array in vectors.values()} == {("float32", (count,))}
        assert set(data) == plain
        done = commit["iteration"]
        assert arrays.keys() - vectors.keys() == {
            *(["logits"] if done >= 3 else []),
            *([f"epochs.{part}{name}" for part in ("", "validation_") for name in ("loss", "accuracy")] * (done >= 3)),
        }
        assert (data["updates"], data["micro_batch"]) == (done - (done >= 3), 3)
    arrays, data = reader.state(folded, "finetuning")
    assert set(data) == {*plain, "kept", "comparison", "head", "temperature"}
    assert data["kept"] is True
    assert data["comparison"]["images"] == 3
    assert data["comparison"]["head_only"] == data["head_only"]
    assert {name: array.shape for name, array in arrays.items() if name.startswith("network.")} == {
        f"network.{name}": tuple(parameter.shape) for name, parameter in network.items()
    }
    assert all(len(array) == 2 for name, array in arrays.items() if name.startswith("epochs."))


def test_the_model_is_what_is_kept(made: tuple[Path, ml.Classifier]) -> None:
    folder, classifier = made
    reader = SessionFolder(folder / "session")
    arrays, data = reader.state(reader.newest()[0], "finetuning")
    head = {name.removeprefix("head."): array for name, array in arrays.items() if name.startswith("head.")}
    network = {name: array for name, array in arrays.items() if name.startswith("network.")}
    assert tensor_digest({**head, **network}) == classifier.model_digest
    assert np.isfinite(data["temperature"])
    # An earlier checkpoint of the phase gives the head alone.
    with ml.Classifier.restore_training_session(ml.SessionParameters(folder / "session")) as session:
        early = next(each for each in session.checkpoints if each.phase == ml.Phase.FINETUNING)
        assert ml.Classifier.from_checkpoint(early).model_digest != classifier.model_digest
