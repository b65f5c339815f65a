"""Results of images: values, filters, tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics.images import ImageResult, ImageResults, result_columns


@pytest.fixture
def results() -> ImageResults:
    """Two cats and a dog taken rightly, a cat taken for a dog, a dog for an owl, surer than the cat."""
    truth = np.array([0, 0, 0, 1, 1])
    probabilities = np.array(
        [[0.9, 0.05, 0.05], [0.5, 0.5, 0.0], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.05, 0.25, 0.7]], dtype=np.float32
    )
    paths = ("cat/1.jpg", "cat/2.jpg", "cat/3.jpg", "dog/1.jpg", "dog/2.jpg")
    return ImageResults(classes=("cat", "dog", "owl"), paths=paths, columns=result_columns(truth, probabilities, 2))


def test_each_image(results: ImageResults) -> None:
    assert (len(results), results.num_wrong) == (5, 2)
    assert [image.path for image in results] == list(results.paths)
    assert results[1] == ImageResult(
        path="cat/2.jpg",
        label="cat",
        predicted="cat",
        confidence=0.5,
        rank=0,
        truth_confidence=0.5,
        top=(("cat", 0.5), ("dog", 0.5)),
    )
    wrong = results[-1]
    assert (wrong.label, wrong.predicted, wrong.rank, wrong.correct) == ("dog", "owl", 1, False)
    assert (wrong.confidence, wrong.truth_confidence) == (float(np.float32(0.7)), 0.25)
    assert json.loads(json.dumps(wrong.to_json()))["top"][1] == {"label": "dog", "confidence": 0.25}


def test_a_cell_leads_to_its_images(results: ImageResults) -> None:
    assert [image.path for image in results.where(label="cat", predicted="dog")] == ["cat/3.jpg"]
    assert len(results.where(label="owl")) == 0
    assert [image.path for image in results.where(correct=False)] == ["cat/3.jpg", "dog/2.jpg"]
    assert len(results.where(correct=True, label="cat")) == 2
    assert len(results.where()) == 5
    for name in ("label", "predicted"):
        with pytest.raises(InvalidParameter, match="cat, dog, owl"):
            results.where(**{name: "bat"})  # type: ignore[arg-type]


def test_the_surest_mistakes_come_first(results: ImageResults) -> None:
    assert [image.path for image in results.most_confident_errors()] == ["dog/2.jpg", "cat/3.jpg"]
    assert [image.path for image in results.most_confident_errors(1)] == ["dog/2.jpg"]
    assert repr(results) == "<ImageResults: 5 images, 2 predicted wrongly>"


def test_hesitant_cases_have_the_smallest_margin(results: ImageResults) -> None:
    assert results.margin.tolist() == pytest.approx([0.85, 0.0, 0.3, 0.7, 0.45], abs=1e-6)
    assert [image.path for image in results.hesitant(3)] == ["cat/2.jpg", "cat/3.jpg", "dog/2.jpg"]
    assert len(results.hesitant()) == 5
    lone = ImageResults(classes=("a",), paths=("x",), columns=result_columns(np.array([0]), np.array([[1.0]])))
    assert lone.margin.tolist() == [1.0]


def test_confusions_lead_to_their_images(results: ImageResults) -> None:
    found = results.top_confusions()
    assert [(each.label, each.predicted, each.count, each.share) for each in found] == [
        ("cat", "dog", 1, pytest.approx(1 / 3)),
        ("dog", "owl", 1, 0.5),
    ]
    images = [results.where(label=each.label, predicted=each.predicted) for each in found]
    assert [list(behind.paths) for behind in images] == [["cat/3.jpg"], ["dog/2.jpg"]]
    assert len(results.top_confusions(1)) == 1


def test_as_a_table(results: ImageResults) -> None:
    frame = results.frame
    columns = ["path", "label", "predicted", "confidence", "correct", "rank", "truth_confidence", "margin"]
    assert list(frame.columns) == columns
    assert frame["predicted"].tolist() == ["cat", "cat", "dog", "dog", "owl"]
    assert frame[~frame["correct"]]["path"].tolist() == ["cat/3.jpg", "dog/2.jpg"]
    assert results.where(label="owl").frame.empty


def test_of_few_classes_all_are_ranked() -> None:
    columns = result_columns(np.array([1]), np.array([[0.25, 0.75]]))
    assert columns["top"].tolist() == [[1, 0]]
    assert columns["top_confidence"].tolist() == [[0.75, 0.25]]


def test_refuses_what_does_not_fit(results: ImageResults) -> None:
    with pytest.raises(InternalError):
        ImageResults(classes=results.classes, paths=results.paths[:2], columns=results.columns)
    with pytest.raises(InternalError):
        ImageResults(classes=results.classes, paths=(), columns={})
