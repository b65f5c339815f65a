"""Predictions averaged over views: the same in a table, for one image and for a measurement; a session fixes them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mlsession as ml
from mlsession.augment.averaged import AverageViews, averaged_views
from mlsession.augment.options import AugmentationOption, Rotate
from mlsession.augment.transforms import Augmenter
from mlsession.augment.views import ViewPlan
from mlsession.classifier.predictor import Predictor
from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.images.decode import prepare_wide
from tests.inference.conftest import LABELS, tiny_model
from tests.photos import PHOTOS


def probabilities(prediction: ml.Prediction) -> dict[str, float]:
    return dict(prediction.top)


def test_the_mean_is_of_the_probabilities_of_the_views_that_training_would_make(classifier: ml.Classifier) -> None:
    photo = sorted((PHOTOS / "train" / "Kiwi").iterdir())[0]
    data = photo.read_bytes()
    plan, digest = averaged_views({"crop", "flip"}, None), hashlib.sha256(data).digest()
    square, wide = prepare_wide(data, "photo", tiny_model().side)
    effects = [plan.effect(digest, view) for view in range(1, len(plan))]
    pictures = [square, *(Augmenter().apply(effect, square, wide) for effect in effects)]
    said = Predictor(tiny_model()).probabilities(pictures)
    assert len(said) == 6
    found = probabilities(classifier.predict(photo, top=8, average_views=["flip", "crop"]))
    assert found == dict(zip(LABELS, said.mean(axis=0).tolist(), strict=True))
    assert found != probabilities(classifier.predict(photo, top=8))
    (alone,) = Predictor(tiny_model()).probabilities(pictures[:1])
    assert probabilities(classifier.predict(photo, top=8)) == dict(zip(LABELS, alone.tolist(), strict=True))
    # A mean of probabilities is never surer of a label than the surest view.
    assert found[LABELS[0]] <= said[:, 0].max()


def test_a_picture_and_its_mirror_image_are_the_same_to_it(classifier: ml.Classifier) -> None:
    with Image.open(sorted((PHOTOS / "train" / "Lemon").iterdir())[0]) as image:
        pixels = np.array(image.convert("RGB"))
    mirrored = np.ascontiguousarray(pixels[:, ::-1])
    one, other = (probabilities(classifier.predict(each, top=8, average_views="flip")) for each in (pixels, mirrored))
    plain = [probabilities(classifier.predict(each, top=8)) for each in (pixels, mirrored)]
    differences = [max(abs(a[label] - b[label]) for label in LABELS) for a, b in ((one, other), plain)]
    assert differences[0] < 0.2 * differences[1]
    png = Image.fromarray(pixels)
    assert classifier.predict(png, average_views="flip").top == classifier.predict(pixels, average_views="flip").top


def test_a_table_says_what_predict_says_and_its_session_fixes_the_views(
    classifier: ml.Classifier, photos: Path, tmp_path: Path
) -> None:
    views: list[AugmentationOption | str] = [Rotate(views=2), "flip"]
    output = tmp_path / "r.csv"
    report = classifier.make_prediction_job(photos, output, average_views=views).result()
    assert (report.num_predicted, report.num_skipped) == (36, 2)
    for row in pd.read_csv(output).dropna(subset="label").to_dict("records"):
        said = classifier.predict(photos / row["path"], average_views=views)
        assert (row["label"], row["confidence"]) == (said.label, said.confidence)
    before = output.read_bytes()
    assert classifier.make_prediction_job(photos, output, average_views=views[::-1]).result() == report
    others: tuple[AverageViews, ...] = (None, "flip", (Rotate(views=3), "flip"))
    for other in others:
        with pytest.raises(IncompatibleParameters, match="average_views"):
            classifier.make_prediction_job(photos, output, average_views=other).result()
    assert output.read_bytes() == before
    plain = tmp_path / "plain.csv"
    classifier.make_prediction_job(photos, plain).result()
    with pytest.raises(IncompatibleParameters, match="average_views"):
        classifier.make_prediction_job(photos, plain, average_views="flip").result()


def test_a_measurement_averages_over_the_same_views(classifier: ml.Classifier, tmp_path: Path) -> None:
    folder = tmp_path / "labelled"
    for label, kind in (("a", "Kiwi"), ("b", "Lemon")):
        (folder / label).mkdir(parents=True)
        for photo in sorted((PHOTOS / "train" / kind).iterdir())[:3]:
            (folder / label / photo.name).write_bytes(photo.read_bytes())
    (folder / "a" / "torn.jpg").write_bytes(b"no picture")
    data = ml.DataSource.labeled_directories(folder)
    found = classifier.evaluate_images(data, average_views="flip")
    assert found.metrics.count == 6
    for image in found.images:
        said = classifier.predict(folder / image.path, average_views="flip")
        assert image.top[0][1] == pytest.approx(said.confidence, rel=1e-6)
    assert classifier.evaluate(data, average_views="flip").log_loss == found.metrics.log_loss
    assert classifier.evaluate(data).log_loss != found.metrics.log_loss


def test_what_names_no_views_is_refused(classifier: ml.Classifier, tmp_path: Path) -> None:
    for given, reason in (
        ("flips", "must be one of"),
        ((), "names no views"),
        (["training"], "must be one of"),
        ("training", "that of a file does not say"),
        (7, "must be a set or list"),
    ):
        with pytest.raises(InvalidParameter, match=reason) as caught:
            classifier.predict(b"", average_views=given)  # type: ignore[arg-type]
        assert caught.value.parameter == "average_views"
        with pytest.raises(InvalidParameter, match=reason):
            classifier.make_prediction_job(tmp_path, tmp_path / "r.csv", average_views=given)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="this one was not; name the views: --average-views flip, or"):
        averaged_views("training", ViewPlan())
    trained = ViewPlan(options=averaged_views("crop", None).options, seed=5)
    assert averaged_views("training", trained) is trained
    assert len(averaged_views(None, trained)) == 1
