"""Sessions on networks of one's own: what they store, when they go on, what they refuse, and what becomes a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import mlsession as ml
from mlsession.cli.__main__ import run
from mlsession.cli.options.own_extractor import input_options
from mlsession.errors import IncompatibleParameters, InvalidParameter, ModelNotFound
from mlsession.export.metadata import ModelMetadata
from mlsession.export.pt2 import convert_pt2
from mlsession.extractors.catalog import load_extractor
from mlsession.extractors.custom.onnx import Unexportable
from mlsession.training.relocating import relocated
from tests.extractors.own_networks import HALVES, tiny, tiny_onnx, with_sine, write_onnx, write_program
from tests.photos import copy_photos

HERE = "tests.extractors.own_networks"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 4, ("Kiwi", "Lemon"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_onnx(tmp_path / "own.onnx", tiny_onnx())


def custom(model: Path | str, **options: Any) -> ml.CustomFeatureExtractor:
    return ml.CustomFeatureExtractor(model, mean=HALVES, std=HALVES, **options)


def asked(extractor: ml.CustomFeatureExtractor) -> ml.ModelParameters:
    return ml.ModelParameters(algorithm=ml.TransferLearning(feature_extractor=extractor))


def where(folder: Path, iterations: int = 4, name: str = "session") -> ml.SessionParameters:
    return ml.SessionParameters(folder / name, iterations=iterations, cache=None)


def trained(
    photos: Path, folder: Path, extractor: ml.CustomFeatureExtractor, iterations: int = 4, name: str = "session"
) -> ml.Classifier:
    data = ml.DataSource.labeled_directories(photos)
    return ml.Classifier.train(data, asked(extractor), where(folder, iterations, name)).result()


def restored(folder: Path, iterations: int = 4) -> ml.TrainingSession:
    return ml.Classifier.restore_training_session(where(folder, iterations))


def test_a_session_goes_on_from_the_store_alone_bit_for_bit(photos: Path, own: Path, tmp_path: Path) -> None:
    whole = trained(photos, tmp_path, custom(own), name="whole")
    trained(photos, tmp_path, custom(own), iterations=2)
    stopped = restored(tmp_path)
    stored: Any = stopped.identity.parameters["algorithm"]
    assert stored["feature_extractor"]["kind"] == "custom"
    assert str(tmp_path) not in json.dumps(stored)
    assert stopped.settings["extractor_weights"] == str(own)
    numerics: Any = stopped.identity.numerics
    assert numerics["extractor"]["backend"].startswith("onnxruntime ")
    resumed = ml.Classifier.resume(stopped).result()
    assert resumed.model_digest == whole.model_digest
    photo = next(photos.rglob("*.jpg"))
    assert ml.Classifier.load(tmp_path / "session").predict(photo) == whole.predict(photo)


def test_its_file_may_lie_elsewhere_and_must_be_the_same(photos: Path, own: Path, tmp_path: Path) -> None:
    data = ml.DataSource.labeled_directories(photos)
    ml.Classifier.make_training_session(data, asked(custom(own)), where(tmp_path))
    moved = own.rename(tmp_path / "moved.onnx")
    with pytest.raises(ModelNotFound, match=r"own.onnx: there is no such model; .*extractor_weights=FILE"):
        ml.Classifier.resume(restored(tmp_path)).result()
    other = custom(write_onnx(tmp_path / "other.onnx", tiny_onnx(seed=1)))
    with pytest.raises(IncompatibleParameters, match=r"feature_extractor.weights was 'file-sha256:"):
        ml.Classifier.resume(restored(tmp_path), extractor_weights=tmp_path / "other.onnx").result()
    with pytest.raises(IncompatibleParameters, match=r"feature_extractor.identity was 'custom onnx file-sha256:"):
        ml.Classifier.train(data, asked(other), where(tmp_path)).result()
    with pytest.raises(IncompatibleParameters, match=r"feature_extractor.crop was True"):
        ml.Classifier.train(data, asked(custom(moved, crop=False)), where(tmp_path)).result()
    with pytest.raises(InvalidParameter, match=r"extractor_weights=.*is of the kind onnx; give that"):
        ml.Classifier.resume(restored(tmp_path), extractor_weights="own.pt2").result()
    first = ml.Classifier.resume(restored(tmp_path), extractor_weights=moved).result()
    assert repr(first) == "<Classifier of 2 classes, custom:moved.onnx>"
    again = ml.Classifier.train(data, asked(custom(moved)), where(tmp_path)).result()
    assert again.model_digest == first.model_digest


@pytest.mark.parametrize("form", ["program", "module"])
def test_what_runs_code_of_its_own_is_named_by_the_caller_each_time(form: str, photos: Path, tmp_path: Path) -> None:
    program = write_program(tmp_path / "own.pt2", tiny()) if form == "program" else tmp_path
    place, options = (str(program), {}) if form == "program" else (f"{HERE}:tiny", {"input_side": 28})
    spec = custom(place, **options)
    data = ml.DataSource.labeled_directories(photos)
    trained(photos, tmp_path, spec, iterations=2)
    session = restored(tmp_path)
    assert session.settings["extractor_weights"] is None
    with pytest.raises(ModelNotFound, match="nothing says where that is; give it: extractor_weights="):
        ml.Classifier.load(tmp_path / "session").predict(next(photos.rglob("*.jpg")))
    forged = {**session.settings, "extractor_weights": place}
    assert relocated(session.identity.parameters, forged, None)["extractor_weights"] is None
    assert relocated(session.identity.parameters, forged, place)["extractor_weights"] == place
    whole = trained(photos, tmp_path, spec, name="whole")
    resumed = ml.Classifier.resume(session, extractor_weights=place).result()
    assert ml.Classifier.train(data, asked(spec), where(tmp_path)).result().model_digest == whole.model_digest
    loaded = ml.Classifier.load(tmp_path / "session", extractor_weights=place)
    photo = next(photos.rglob("*.jpg"))
    assert loaded.predict(photo) == whole.predict(photo)
    assert resumed.training_metrics.count == 8
    several = ml.SessionParameters(tmp_path / "several", devices=2, cache=None)
    with pytest.raises(InvalidParameter, match=r"runs code of its own, .*train with devices=1"):
        ml.Classifier.train(data, asked(spec), several).result()


def test_a_module_has_the_same_weights_each_time() -> None:
    restless = custom(f"{HERE}:Restless", input_side=28)
    with pytest.raises(IncompatibleParameters, match="it must have the same weights each time it is made"):
        load_extractor(restless)
    with pytest.raises(IncompatibleParameters, match=r"feature_extractor.reference was"):
        restless.at(f"{HERE}:tiny")


def test_the_head_alone_can_always_be_written(photos: Path, tmp_path: Path) -> None:
    spec = custom(with_sine(tmp_path))
    classifier = trained(photos, tmp_path, spec)
    saved = tmp_path / "head.safetensors"
    assert classifier.write(saved).verified
    photo = next(photos.rglob("*.jpg"))
    loaded = ml.Classifier.load(saved, extractor_weights=spec.location)
    assert loaded.predict(photo) == classifier.predict(photo)
    with pytest.raises(ModelNotFound, match=r"custom:onnx: it was a file .*extractor_weights=FILE"):
        ml.Classifier.load(saved).predict(photo)
    network = load_extractor(spec).network()
    assert isinstance(network, Unexportable)
    with pytest.raises(InvalidParameter, match=r"cannot be exported as a graph: .*operator Sin.*\(\.safetensors\)"):
        convert_pt2(network, [str(number) for number in range(32)], ModelMetadata(), 32)


def test_one_that_takes_a_picture_at_once_says_what_it_cannot_become(tmp_path: Path) -> None:
    spec = custom(write_onnx(tmp_path / "one.onnx", tiny_onnx(shape=(1, 3, 28, 28))))
    with pytest.raises(InvalidParameter, match=r"takes 1 at once, .* export it as .mlmodel"):
        convert_pt2(load_extractor(spec).network(), [str(number) for number in range(32)], ModelMetadata(), 32)


@pytest.mark.parametrize("factor", [2, np.nan])
def test_a_graph_that_differs_is_not_passed_off(factor: float, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if an operator of ours were wrong: then the network runs what was trained on, and says why it is no graph."""
    monkeypatch.setattr(onnx.numpy_helper, "to_array", _times(factor, onnx.numpy_helper.to_array))
    assert isinstance(load_extractor(custom(own)).network(), Unexportable)


def _times(factor: float, read: Any) -> Any:
    return lambda tensor: read(tensor) * np.array(factor, read(tensor).dtype)


def test_another_program_is_refused_before_its_code_could_run(tmp_path: Path) -> None:
    spec = custom(write_program(tmp_path / "own.pt2", tiny()))
    # Torch could not load this, and would say so.
    (tmp_path / "other.pt2").write_bytes(b"not what was trained on")
    with pytest.raises(IncompatibleParameters, match=r"feature_extractor\.weights was 'file-sha256:"):
        load_extractor(spec.at(str(tmp_path / "other.pt2")))


class TestCommandLine:
    def test_a_session_is_trained_and_said_again(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write_onnx(tmp_path / "two.onnx", tiny_onnx(outputs=("features", "map")))
        line = ["train", str(photos), "--session", "s", "--iterations", "1", "--cache", "none", "--extractor"]
        assert run([*line, "custom:two.onnx"]) == 2
        assert "2 tensor outputs; without a name" in capsys.readouterr().err
        said = ["--extractor-output", "features", "--extractor-option", "mean=0.5,0.5,0.5", "--extractor-option"]
        assert run([*line, "custom:two.onnx", *said, "std=0.5,0.5,0.5"]) == 0
        # The command that the advice ends in leads to the same extractor.
        shown = capsys.readouterr().out
        assert f"--extractor custom:{tmp_path}{os.sep}two.onnx --extractor-output features" in shown
        assert "--extractor-option std=0.5,0.5,0.5" in shown
        assert run(["predict", "s", str(next(photos.rglob("*.jpg")))]) == 0

    def test_options_are_read(self) -> None:
        said = ["input-side=28", "mean=0.5,0.25,1/2", "scale=1/255", "layout=nhwc", "crop=false"]
        assert input_options(said) == {
            "input_side": 28, "mean": (0.5, 0.25, 0.5), "scale": 1 / 255, "layout": "NHWC", "crop": False,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ("side=28", "the names are input-side, mean, std, scale, layout, crop"),
            ("input-side=wide", "a whole number of pixels"),
            ("mean=1,2", "three numbers with commas between"),
            ("scale=1/0", "a finite number"),
            ("crop=perhaps", "true or false"),
        ],
    )
    def test_other_options_are_refused(self, said: str, words: str) -> None:
        with pytest.raises(InvalidParameter, match=words):
            input_options([said])
        with pytest.raises(InvalidParameter, match="is given twice"):
            input_options(["crop=true", "crop=false"])

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            (["scene_print", "--extractor-output", "map"], "is of --extractor custom:PATH"),
            (["lite1", "--extractor-option", "crop=false"], "is of --extractor custom:PATH"),
            (["custom:a.onnx", "--extractor-weights", "w.pth"], "has its weights in its own file"),
            (["custom:a.onnx", "--extractor-output", "x", "--extractor-weights", "w.pth"], "in its own file"),
            (["custom:timm:resnet18"], "take ml.timm_extractor"),
        ],
    )
    def test_what_does_not_go_together(
        self, line: list[str], words: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["train", str(photos), "--session", str(tmp_path / "s"), "--extractor", *line]) == 2
        assert words in capsys.readouterr().err
