"""What a session says of its images from its index and its state alone."""

from __future__ import annotations

import numpy as np
import pytest

from mlsession.data.index import ImageIndex
from mlsession.errors import DamagedData
from mlsession.phases.contents import copies_among
from mlsession.scanning.finding import Kind
from mlsession.training.images.brief import copied_findings, leaked_finding


def index_of(*images: tuple[str, str]) -> ImageIndex:
    """Of (key, label), ascending by key."""
    classes = sorted({label for _, label in images})
    return ImageIndex(
        keys=tuple(key for key, _ in images),
        labels=np.array([classes.index(label) for _, label in images], dtype=np.int32),
        sizes=np.ones(len(images), dtype=np.int64),
        versions=("",) * len(images),
        classes=tuple(classes),
    )


TRAINING = index_of(("a", "ant"), ("b", "bee"), ("c", "ant"), ("d", "bee"), ("e", "bee"))
VALIDATION = index_of(("x", "bee"), ("y", "bee"))


def test_copies_are_pairs_with_the_first_of_them() -> None:
    digests = np.zeros((7, 32), dtype=np.uint8)
    digests[:, 31] = [5, 3, 5, 3, 5, 9, 9]
    readable = np.array([False, True, True, True, True, True, False])
    assert copies_among(digests, readable).tolist() == [[3, 1], [4, 2]]
    none = copies_among(digests, np.zeros(7, dtype=np.bool_))
    assert none.shape == (0, 2)
    assert none.dtype == np.int64


def test_what_they_mean() -> None:
    assert copied_findings(np.empty((0, 2), dtype=np.int64), TRAINING, None) == []
    found = copied_findings(np.array([[2, 0], [3, 1], [4, 1]]), TRAINING, None)
    assert [(each.kind, each.files) for each in found] == [(Kind.EXACT_DUPLICATES, ("a", "c", "b", "d", "e"))]
    torn, same = copied_findings(np.array([[1, 0], [4, 3]]), TRAINING, None)
    assert [(each.kind, each.files) for each in (torn, same)] == [
        (Kind.CONFLICTING_DUPLICATES, ("a", "b")),
        (Kind.EXACT_DUPLICATES, ("d", "e")),
    ]
    leaked, both = copied_findings(np.array([[5, 4], [6, 0]]), TRAINING, VALIDATION)
    assert (leaked.kind, leaked.files) == (Kind.LEAKED_IMAGES, ("y", "a", "x", "e"))
    assert leaked.sentence.startswith("2 validation images are among the training images, too")
    assert {(image.source, image.label) for image in leaked.images[:2]} == {("validation", "bee"), ("training", "ant")}
    assert (both.kind, both.files) == (Kind.CONFLICTING_DUPLICATES, ("a", "y"))
    assert leaked_finding(1).sentence.startswith("1 test image is trained on, too")


@pytest.mark.parametrize("copies", [np.array([[5, 0]]), np.array([[-1, 0]]), np.array([1, 0]), np.array([[1.0, 0.0]])])
def test_copies_of_other_images_are_damage(copies: np.ndarray) -> None:
    with pytest.raises(DamagedData, match="state of extracting"):
        copied_findings(copies, TRAINING, None)
