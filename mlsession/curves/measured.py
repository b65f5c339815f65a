"""What heads say of images that they were not fitted to, by how many they were fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mlsession.curves.splits import FRACTIONS, Places, Turns, splits
from mlsession.data.digests import content_numbers
from mlsession.heads.logistic.fit import LogisticFit, initial_state
from mlsession.heads.logistic.head import LogisticHead
from mlsession.heads.options import LogisticRegressor
from mlsession.phases.features import BLOCK, FeatureTable
from mlsession.session.phase import Arrays

ITERATIONS = 25
"""Of each fit, at most: as many as a training has by default."""
SMALLEST = 1e-12
"""Of a probability, for its logarithm."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """What a curve is measured on: N images, and their rows in a table of features."""

    table: FeatureTable
    rows: Places
    """Rows of the table, ascending: the images themselves and their views."""
    image: Places
    """[rows]: which of the N images each is of, ascending."""
    labels: Places
    """[N]: places in `classes`, each of which has images."""
    digests: npt.NDArray[np.uint8]
    """[N, 32]."""
    classes: tuple[str, ...]
    ties: Places | None = None
    """[N]: the same number for images that belong together; None where only copies do."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def originals(self) -> Places:
        """[N]: the row of each image as it is."""
        return self.rows[self.table.original[self.rows]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What was said of J images, R times each (a repeat each), after S numbers of images."""

    labels: Places
    """[J]: places in the classes, ascending."""
    correct: npt.NDArray[np.bool_]
    """[R, S, J]."""
    losses: npt.NDArray[np.float32]
    """[R, S, J]: minus the logarithm of the true label's probability."""
    images: npt.NDArray[np.float64]
    """[S]: fitted to, on average."""
    class_images: npt.NDArray[np.float64]
    """[S, K]: of these, of each class."""

    @property
    def told(self) -> npt.NDArray[np.bool_]:
        """[K]: classes of which an image was judged. Of very many images some folds alone are held out."""
        return np.bincount(self.labels, minlength=self.class_images.shape[1]) > 0

    def of_told(self) -> Judged:
        """The same of these classes alone: their numbers are their places among them."""
        class_images = self.class_images[:, self.told]
        labels = (np.cumsum(self.told) - 1)[self.labels]
        return replace(self, labels=labels, images=class_images.sum(axis=1), class_images=class_images)


class PartRows:
    """`TrainingRows` of some images, with their views."""

    def __init__(self, material: Material, images: Places) -> None:
        chosen = np.zeros(len(material), dtype=np.bool_)
        chosen[images] = True
        kept = chosen[material.image]
        self._material = material
        self._rows, self._image = material.rows[kept], material.image[kept]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def labels(self) -> Places:
        return self._material.labels[self._image]

    def __call__(self) -> Iterator[Arrays]:
        labels = self.labels
        for start in range(0, len(self), BLOCK):
            here = slice(start, start + BLOCK)
            yield {"features": self._material.table.take(self._rows[here]), "labels": labels[here]}

    def take(self, places: Places) -> Arrays:
        return {"features": self._material.table.take(self._rows[places]), "labels": self.labels[places]}

    @property
    def contents(self) -> Places:
        return content_numbers(self._material.digests)[self._image]

    @property
    def is_grouped(self) -> bool:
        return False

    @property
    def originals(self) -> npt.NDArray[np.bool_]:
        return self._material.table.original[self._rows]


def judge(
    material: Material,
    options: LogisticRegressor,
    penalty: float | None,
    turns: Turns,
    seed: int,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Judged:
    """Fits heads to parts of the images, and asks each about those held out.

    `penalty` is l2 times the rows: the same for every number of rows, as for a prior belief about the weights; None
    takes the default, which is of that kind. `tell` hears how many of how many fits are done, and may raise. Memory is
    that of one fit, and of a verdict for each image, repeat and fraction.
    """
    shape = (turns.repeats, len(FRACTIONS), len(material))
    correct, losses = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.float32)
    seen = np.zeros(len(material), dtype=np.bool_)
    sizes = np.zeros((len(FRACTIONS), len(material.classes)))
    done = 0
    for split in splits(material.labels, material.digests, turns, seed, material.ties):
        seen[split.held_out] = True
        for size, part in enumerate(split.parts):
            tell(done, turns.fits)
            head = fitted(PartRows(material, part), material.classes, options, penalty)
            right, loss = asked(head, material, split.held_out)
            correct[split.repeat, size, split.held_out], losses[split.repeat, size, split.held_out] = right, loss
            sizes[size] += np.bincount(material.labels[part], minlength=len(material.classes))
            done += 1
    places = np.flatnonzero(seen)
    sizes /= turns.repeats * turns.folds
    places = places[np.argsort(material.labels[places], kind="stable")]
    return Judged(
        labels=material.labels[places],
        correct=correct[:, :, places],
        losses=losses[:, :, places],
        images=sizes.sum(axis=1),
        class_images=sizes,
    )


def fitted(rows: PartRows, classes: Sequence[str], options: LogisticRegressor, penalty: float | None) -> LogisticHead:
    """A head fitted to some rows; `penalty` as in `judge`."""
    chosen = replace(options, l2=None if penalty is None else penalty / len(rows))
    fit = LogisticFit(state=initial_state(rows, classes, chosen), options=chosen)
    while not fit.converged and fit.iteration < ITERATIONS:
        fit = fit.advance(rows)
    return fit.head()


def asked(
    head: LogisticHead, material: Material, images: Places
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Of each image, as it is, whether it is predicted rightly, and the log loss."""
    correct, losses = np.zeros(len(images), dtype=np.bool_), np.zeros(len(images), dtype=np.float32)
    rows = material.originals
    for start in range(0, len(images), BLOCK):
        places, here = images[start : start + BLOCK], slice(start, start + BLOCK)
        said = head.probabilities(material.table.take(rows[places]).astype(np.float32))
        truth = material.labels[places]
        correct[here] = said.argmax(axis=1) == truth
        losses[here] = -np.log(np.maximum(said[np.arange(len(truth)), truth], SMALLEST))
    return correct, losses
