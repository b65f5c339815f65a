"""What was said of each labelled image: the way from a figure to the images behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.errors import InternalError, InvalidParameter
from mlsession.metrics.confusion import Confusion, confusion_matrix, top_confusions
from mlsession.metrics.ranks import best_classes, true_ranks
from mlsession.session.phase import Array, Arrays

if TYPE_CHECKING:
    import pandas as pd

TOP = 5
"""How many of its best classes are kept of each image, at most."""


def result_columns(truth: Array, probabilities: Array, top: int = TOP) -> dict[str, Array]:
    """What to keep of int [n] true classes and float [n, K] probabilities; T = min(top, K).

    `truth` int64 [n]; `rank` int64 [n], see `true_ranks`; `truth_confidence` float64 [n]: the probability of the true
    class; `top` int64 [n, T]: the best classes, best first, of equals the earlier; `top_confidence` float64 [n, T]:
    their probabilities.
    """
    best = best_classes(probabilities, top)
    exact = probabilities.astype(np.float64)
    return {
        "truth": truth.astype(np.int64),
        "rank": true_ranks(truth, probabilities),
        "truth_confidence": exact[np.arange(len(truth)), truth],
        "top": best,
        "top_confidence": np.take_along_axis(exact, best, axis=1),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """What was said of one labelled image."""

    path: str
    """Relative to the source's root."""
    label: str
    """Its true label."""
    predicted: str
    confidence: float
    """Probability of `predicted`, 0 to 1."""
    rank: int
    """How many labels were found likelier than the true one, or as likely and come before it; 0: predicted rightly."""
    truth_confidence: float
    """Probability of `label`."""
    top: tuple[tuple[str, float], ...] = ()
    """(label, probability), best first."""

    @property
    def correct(self) -> bool:
        """Whether it was predicted rightly."""
        return self.rank == 0

    def to_json(self) -> dict[str, object]:
        """A JSON object; `top` as a list of {label, confidence}."""
        return {
            "path": self.path,
            "label": self.label,
            "predicted": self.predicted,
            "confidence": self.confidence,
            "correct": self.correct,
            "rank": self.rank,
            "truth_confidence": self.truth_confidence,
            "top": [{"label": label, "confidence": confidence} for label, confidence in self.top],
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ImageResults:
    """What was said of n labelled images, in the order of their paths; iterating gives `ImageResult` values.

    `where` chooses among them, so a cell of a confusion matrix leads to its images:

        for image in results.where(label="cat", predicted="dog"):
            print(image.path, image.confidence)
    """

    classes: tuple[str, ...]
    paths: Sequence[str]
    """[n], relative to the source's root."""
    columns: Arrays
    """By the names of `result_columns`."""

    def __post_init__(self) -> None:
        for name in ("truth", "rank", "truth_confidence", "top", "top_confidence"):
            if name not in self.columns or len(self.columns[name]) != len(self.paths):
                raise InternalError(f"image results: {name} is missing, or not of {len(self.paths)} images")

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[ImageResult]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> ImageResult:
        columns = self.columns
        top = [
            (self.classes[label], confidence)
            for label, confidence in zip(
                columns["top"][place].tolist(), columns["top_confidence"][place].tolist(), strict=True
            )
        ]
        return ImageResult(
            path=self.paths[place],
            label=self.classes[columns["truth"][place]],
            predicted=top[0][0],
            confidence=top[0][1],
            rank=int(columns["rank"][place]),
            truth_confidence=float(columns["truth_confidence"][place]),
            top=tuple(top),
        )

    @property
    def correct(self) -> Array:
        """bool [n]: which were predicted rightly."""
        rightly: Array = self.columns["rank"] == 0
        return rightly

    @property
    def num_wrong(self) -> int:
        """How many were not."""
        return len(self) - int(self.correct.sum())

    @property
    def confidence(self) -> Array:
        """float64 [n]: the probabilities of what was predicted."""
        best: Array = self.columns["top_confidence"][:, 0]
        return best

    @property
    def margin(self) -> Array:
        """float64 [n]: by how much the best label's probability exceeds the next one's; of a lone label its own."""
        best = self.columns["top_confidence"]
        gap: Array = best[:, 0] - best[:, 1] if best.shape[1] > 1 else best[:, 0].copy()
        return gap

    def where(
        self, *, correct: bool | None = None, label: str | None = None, predicted: str | None = None
    ) -> ImageResults:
        """Those predicted rightly (or wrongly), of a true label, predicted as a label; what is None does not matter.

        Raises `InvalidParameter` for a label that the classifier does not know.
        """
        chosen = np.ones(len(self), dtype=bool)
        if correct is not None:
            chosen &= self.correct == correct
        if label is not None:
            chosen &= self.columns["truth"] == self._class("label", label)
        if predicted is not None:
            chosen &= self.columns["top"][:, 0] == self._class("predicted", predicted)
        return self._take(np.flatnonzero(chosen))

    def most_confident_errors(self, n: int | None = None) -> ImageResults:
        """The `n` surest mistakes (None: all of them), surest first: often wrong labels, or images that show both."""
        wrong = np.flatnonzero(~self.correct)
        order = np.argsort(-self.confidence[wrong], kind="stable")
        return self._take(wrong[order][:n])

    def hesitant(self, n: int | None = None) -> ImageResults:
        """The `n` images with the smallest `margin` (None: all of them), smallest first, right or wrong: those on which
        another photo of the same thing, or a little more training, may change the answer.
        """
        return self._take(np.argsort(self.margin, kind="stable")[:n])

    def top_confusions(self, n: int = 10) -> tuple[Confusion, ...]:
        """The `n` commonest mistakes, commonest first; `where(label=..., predicted=...)` has the images of each."""
        table = confusion_matrix(self.columns["truth"], self.columns["top"][:, 0], len(self.classes))
        return top_confusions(table, self.classes, n)

    @property
    def frame(self) -> pd.DataFrame:
        """Columns "path", "label", "predicted", "confidence", "correct", "rank", "truth_confidence", "margin"."""
        import pandas as pd

        names = np.array(self.classes, dtype=object)
        return pd.DataFrame(
            {
                "path": list(self.paths),
                "label": names[self.columns["truth"]],
                "predicted": names[self.columns["top"][:, 0]],
                "confidence": self.confidence,
                "correct": self.correct,
                "rank": self.columns["rank"],
                "truth_confidence": self.columns["truth_confidence"],
                "margin": self.margin,
            }
        )

    def __repr__(self) -> str:
        return f"<ImageResults: {len(self)} images, {self.num_wrong} predicted wrongly>"

    def _take(self, rows: Array) -> ImageResults:
        return ImageResults(
            classes=self.classes,
            paths=tuple(self.paths[row] for row in rows.tolist()),
            columns={name: self.columns[name][rows] for name in self.columns},
        )

    def _class(self, parameter: str, label: str) -> int:
        if label not in self.classes:
            raise InvalidParameter(parameter, label, f"the classifier knows {', '.join(self.classes)}")
        return self.classes.index(label)
