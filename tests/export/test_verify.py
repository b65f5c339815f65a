from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlsession.errors import InternalError, InvalidParameter
from mlsession.export import ExportReport
from mlsession.export.protocol import Images
from mlsession.export.verify import (
    TOLERANCE,
    Answers,
    Floats,
    answers_of,
    network_probabilities,
    probe_images,
    proof_images,
    verify_export,
)
from mlsession.testing.clock import FakeClock
from tests.export.networks import SIDE, SmallClassifier, answers, noise_images

LABELS = ("cat", "dog")
TRAINED = np.array([[0.9, 0.1], [0.3, 0.7]], np.float32)


def verified(
    probabilities: Floats = TRAINED,
    labels: tuple[str, ...] = ("cat", "dog"),
    class_labels: tuple[str, ...] = LABELS,
    trained: Floats = TRAINED,
    **options: Any,
) -> ExportReport:
    return verify_export(
        path="x.mlmodel",
        format="a format",
        spec_version=4,
        size_bytes=10,
        exported=Answers(class_labels=class_labels, labels=labels, probabilities=probabilities),
        trained=Answers(
            class_labels=LABELS,
            labels=tuple(LABELS[place] for place in trained.argmax(axis=1)),
            probabilities=trained,
        ),
        **options,
    )


def test_agreement_is_reported_with_the_largest_difference() -> None:
    report = verified(TRAINED + np.array([[0, 2e-5], [-5e-5, 0]]))
    assert report.verified
    assert (report.path, report.format, report.spec_version, report.size_bytes) == ("x.mlmodel", "a format", 4, 10)
    assert (report.num_images, report.num_labels_equal, report.tolerance) == (2, 2, TOLERANCE)
    assert report.max_difference == pytest.approx(5e-5, rel=1e-3)


@pytest.mark.parametrize("difference", [1.1 * TOLERANCE, -1.1 * TOLERANCE, np.nan, np.inf])
def test_a_larger_difference_is_our_bug_and_says_where(difference: float) -> None:
    exported = TRAINED.astype(np.float64)
    exported[1, 0] += difference
    with pytest.raises(InternalError, match=r"x\.mlmodel.*picture 1, label 'cat'.*nothing was written"):
        verified(exported)


def test_what_the_model_itself_does_not_know_is_no_agreement() -> None:
    unknown = np.full_like(TRAINED, np.nan)
    with pytest.raises(InternalError):
        verified(unknown, trained=unknown)


def test_the_tolerance_is_an_argument() -> None:
    assert verified(TRAINED + 0.01, tolerance=0.02).verified
    with pytest.raises(InternalError):
        verified(TRAINED + 0.01, tolerance=0.005)


@pytest.mark.parametrize("labels", [("dog", "dog"), ("cat", "fish"), ("cat",)])
def test_other_labels_are_our_bug(labels: tuple[str, ...]) -> None:
    with pytest.raises(InternalError, match=r"'fish'|'dog'|1 labels"):
        verified(labels=labels)


def test_either_label_is_right_where_rounding_decides() -> None:
    tie = np.array([[0.50004, 0.49996]], np.float32)
    report = verified(1 - tie, labels=("dog",), trained=tie)
    assert (report.verified, report.num_labels_equal) == (True, 0)
    near = np.array([[0.5002, 0.4998]], np.float32)
    with pytest.raises(InternalError):
        verified(near, labels=("dog",), trained=near)


def test_class_labels_must_stand_in_the_same_order() -> None:
    with pytest.raises(InternalError, match="its labels are"):
        verified(class_labels=("dog", "cat"))


def test_another_number_of_classes_is_our_bug() -> None:
    with pytest.raises(InternalError, match="probabilities"):
        verified(np.zeros((2, 3), np.float32))


def test_nothing_is_proved_without_pictures() -> None:
    with pytest.raises(InvalidParameter, match="images"):
        verified(TRAINED[:0], labels=(), trained=TRAINED[:0])


def test_the_median_of_single_pictures_is_what_one_takes() -> None:
    clock = FakeClock()
    took = iter([100.0, 3.0, 1.0, 2.0])

    def run(picture: Images) -> Floats:
        clock.sleep(next(took))
        return np.array([[0.2, 0.8]], np.float32)

    found = answers_of(run, LABELS, noise_images(3), "a runtime", clock)
    assert (found.seconds, found.runtime, found.labels) == (2.0, "a runtime", ("dog",) * 3)
    assert found.probabilities.shape == (3, 2)
    with pytest.raises(InvalidParameter, match="images"):
        answers_of(run, LABELS, noise_images(3)[:0], "a runtime", clock)


def test_the_network_is_asked_for_each_picture() -> None:
    network, images = SmallClassifier(3), noise_images(3)
    found = network_probabilities(network, images)
    # Processors round otherwise for one picture than for three at once.
    np.testing.assert_allclose(found, answers(network, images), atol=1e-5)
    assert network_probabilities(network, images[:0]).shape[0] == 0


def test_probe_images_are_always_the_same_and_span_the_pixels() -> None:
    images = probe_images(4, SIDE)
    assert images.shape == (4, SIDE, SIDE, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images[:2], probe_images(2, SIDE))
    assert (images.min(), images.max()) == (0, 255)
    assert len({picture.tobytes() for picture in images}) == 4


def test_exports_are_proved_on_extreme_pictures_too() -> None:
    images = proof_images(SIDE)
    assert images.dtype == np.uint8
    assert np.array_equal(images[:4], probe_images(4, SIDE))
    assert {int(value) for value in np.unique(images[4])} == {0}
    assert {int(value) for value in np.unique(images[5])} == {255}
    assert {int(value) for value in np.unique(images[6])} == {0, 255}
