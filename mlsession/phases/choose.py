"""Choosing: which extractor's features heads tell the classes apart by best, tried on a sample of the training images.

    for each candidate, the one to keep unless another is surely better first:
        extract the sample with it, a batch of images a step -> additive output
        judge logistic regression on its features, out of fold, at its best penalty: a fit a step
        keep it if it is the first, or more accurate by more than the standard error of the paired difference
    until all were tried, or no other could be better by so much: where none or one of the images is wrong

That is the rule by which a kind of head is chosen, see `heads.selecting.contest`, on the folds that it would be
chosen on, of the sample. All candidates are judged on the same images; of fewer than `LEAST_JUDGED` nothing is
chosen. The state of a step holds what has been judged so far; that of the last step what was chosen, and the contents
that it was chosen on, see `phases.chosen_extractor`.

Additive output, one row for each image of the sample and candidate: `candidate` uint8, its place among all, `features`
float16 [D] (zeros where unreadable), and of the image `digest` uint8 [32] and `readable` uint8. Extracting takes over
those of the candidate that is kept, so none is made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import DIGEST_BYTES, DigestMap
from mlsession.errors import ModifiedTrainingData
from mlsession.heads.options import LogisticRegressor
from mlsession.heads.paired import paired_difference
from mlsession.heads.selecting.folded import FoldedRows
from mlsession.heads.selecting.path import Path
from mlsession.heads.selecting.trial import TURN, Outcome, of_prefix
from mlsession.phases.chosen_extractor import CHOSEN, USED, ExtractorChoice
from mlsession.phases.featured import Picture
from mlsession.phases.features import FeatureTable, halves
from mlsession.phases.folding import LEAST_JUDGED, Folding
from mlsession.phases.sampled import Sample, rows_by
from mlsession.phases.sharing import FeatureSource
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_object, as_text
from mlsession.session.phase import Array, Arrays, Json, Past, PhaseState, Step

PATH = "path."
"""Prefix of the arrays of a path of penalties in a state."""
RIGHT = "right"
"""uint8 [judged]: which of the judged images got their label by what is kept so far."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """An extractor that may be kept."""

    name: str
    features: Callable[[], FeatureSource]
    """Opens what extracts with it; whoever does closes it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Course:
    """What is known between two steps."""

    choice: ExtractorChoice
    iteration: int = 0
    images: int = 0
    """Of the sample, extracted by the candidate that is on its way."""
    path: Path | None = None
    """Of that one, once all its images are."""
    right: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    """[judged]: of what is kept so far."""

    @property
    def place(self) -> int:
        """Of the candidate that is on its way."""
        return len(self.choice.ratings)

    @property
    def is_done(self) -> bool:
        """Whether nothing that is left to try could be kept."""
        if self.path is not None or not self.place:
            return False
        faultless = np.ones_like(self.right)
        return self.place == len(self.choice.names) or not paired_difference(self.right, faultless).is_better


class Choosing:
    """The runner of the choosing phase."""

    def __init__(
        self,
        sample: Sample,
        candidates: Sequence[Candidate],
        classes: tuple[str, ...],
        options: LogisticRegressor,
        seed: int,
        numerics: Callable[[], AbstractContextManager[None]],
        past: Past,
        turn: float = TURN,
    ) -> None:
        """`options` are those of the heads that judge; `turn`: multiply-adds of a step of a fit, about."""
        self._sample = sample
        self._candidates = candidates
        self._classes = classes
        self._options = options
        self._numerics = numerics
        self._past = past
        self._turn = turn
        self._folding = Folding(classes=classes, tune="cross-validation", seed=seed)
        self._seen: Arrays = {}
        """`digest` and `readable` of the sample, as the first candidate met them."""
        self._used = np.zeros((0, DIGEST_BYTES), dtype=np.uint8)
        """The contents that were chosen on."""

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        names, images = tuple(each.name for each in self._candidates), len(self._sample.labels)
        course, rows = _Course(choice=ExtractorChoice(names=names, images=images)), list[Arrays]()
        if images < LEAST_JUDGED:
            yield self._last(replace(course, choice=replace(course.choice, images=0)))
            return
        if state is not None:
            course, rows = self._restored(course, state)
        while True:
            for further, adds in self._extracted(course):
                course = further
                rows.append(adds)
                yield self._step(course, adds)
            folded = self._folded(rows)
            if folded is None:
                yield self._last(course)
                return
            for further in self._judged(course, folded):
                course = further
                yield self._last(course) if course.is_done else self._step(course)
            if course.is_done:
                return
            rows = []

    def _extracted(self, course: _Course) -> Iterator[tuple[_Course, Arrays]]:
        """The rest of the sample by the present candidate, batch by batch."""
        left = range(course.images, len(self._sample.labels))
        if not left:
            return
        with closing(self._candidates[course.place].features()) as features:
            sample = self._sample
            for pictures in features.batches(left, sample.key_of, sample.bytes_of, stamps=sample.stamps):
                adds, done = _rows_of(pictures, course.place), course.images + len(pictures)
                if course.place:
                    self._check_same(adds, course.images)
                course = replace(course, iteration=course.iteration + 1, images=done)
                yield course, adds

    def _check_same(self, adds: Arrays, start: int) -> None:
        """Before anything of them is saved: all candidates must see the same. Raises `ModifiedTrainingData`."""
        rows = slice(start, start + len(adds["digest"]))
        same = (adds["digest"] == self._seen["digest"][rows]).all(axis=1)
        same &= adds["readable"] == self._seen["readable"][rows]
        if not same.all():
            keys = tuple(sorted(self._sample.key_of(start + int(row)) for row in np.flatnonzero(~same)))
            raise ModifiedTrainingData((), (), (), keys, "put them back, or start a new session")

    def _folded(self, rows: list[Arrays]) -> FoldedRows | None:
        """What the present candidate is judged on; None where that is too little."""
        with self._numerics():
            joined = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
            self._seen = self._seen or {name: joined[name] for name in ("digest", "readable")}
            table = self._table(joined)
            self._used = DigestMap(table.digests[table.training]).digests
            folds = self._folding.of_images(table) if table.training.any() else None
            return None if folds is None else self._folding.rows(table, folds)

    def _judged(self, course: _Course, rows: FoldedRows) -> Iterator[_Course]:
        """The fits of the present candidate; after the last one what is kept."""
        path = course.path or Path.begin(rows, self._classes, self._options)
        while not path.is_done:
            with self._numerics():
                path = path.advance(self._turn)
            course = replace(course, iteration=course.iteration + 1, path=path)
            yield course if not path.is_done else self._compared(course, path.outcome(), len(rows.folds))

    def _compared(self, course: _Course, outcome: Outcome, folds: int) -> _Course:
        """After the last fit of a candidate."""
        rating = replace(outcome.rating, kind=self._candidates[course.place].name)
        difference = paired_difference(course.right, outcome.right) if course.place else None
        choice = replace(course.choice.with_judged(rating, difference), folds=folds, judged=len(outcome.right))
        is_kept = difference is None or difference.is_better
        right = outcome.right if is_kept else course.right
        return replace(course, choice=choice, images=0, path=None, right=right)

    def _table(self, rows: Arrays) -> FeatureTable:
        """The features of the sample by one candidate."""
        labels, count = self._sample.labels, len(rows["digest"])
        if count != len(labels):
            raise ValueError(f"{count} rows of {len(labels)} images")
        training = rows["readable"].astype(np.bool_)
        training[training] = self._sample.usable(labels[training], rows["digest"][training])
        return FeatureTable(
            features=halves(rows["features"]),
            labels=labels,
            image=np.arange(count),
            digests=rows["digest"],
            original=np.ones(count, dtype=np.bool_),
            training=training,
            validation=np.zeros(count, dtype=np.bool_),
        )

    def _step(self, course: _Course, adds: Arrays | None = None, *, last: bool = False) -> Step:
        each, path = len(self._sample.labels), course.path
        state = partial(_ended, course.choice, self._used) if last else partial(_snapshot, course, self._sample.digest)
        metrics = {"candidate": float(min(course.place + 1, len(self._candidates)))}
        if path is not None:
            metrics |= {name: value for name, value in path.metrics.items() if name == "accuracy"}
        return Step(
            iteration=course.iteration,
            total=None,
            item_count=course.place * each + course.images,
            total_items=len(self._candidates) * each,
            adds=adds or {},
            metrics=metrics,
            snapshot=state,
            last=last,
        )

    def _last(self, course: _Course) -> Step:
        """The step that ends the phase: that of the last fit, or one more where there was too little to judge on."""
        if not course.choice.ratings:
            course = replace(course, iteration=course.iteration + 1)
        return self._step(course, last=True)

    def _restored(self, course: _Course, state: PhaseState) -> tuple[_Course, list[Arrays]]:
        """Where a state stands, with what the present candidate has extracted by then. Raises `DamagedData`."""
        with as_written("state of choosing"):
            if as_text(state.data["sample"]) != self._sample.digest:
                raise ValueError("it is of a sample of other images")
            choice = ExtractorChoice.from_json(as_object(state.data["choice"]))
            iteration, images = (as_count(state.data[name]) for name in ("iteration", "images"))
            right = state.arrays[RIGHT].astype(np.bool_)
            found = replace(course, choice=choice, iteration=iteration, images=images, right=right)
            if found.place:
                first = list(rows_by(self._past, 0))
                self._seen = {name: np.concatenate([part[name] for part in first]) for name in ("digest", "readable")}
            rows = list(rows_by(self._past, found.place))
            if sum(len(part["digest"]) for part in rows) != images:
                raise ValueError(f"it is of {images} images, and there are rows of others")
            if (path := state.data["path"]) is None:
                return found, rows
            folded = self._folded(rows)
            if folded is None:
                raise ValueError("there is too little to judge on")
            stored = PhaseState(of_prefix(state, PATH), cast(dict[str, Json], path))
            return replace(found, path=Path.begin(folded, self._classes, self._options).going_on(stored)), rows


def _rows_of(pictures: Sequence[Picture], place: int) -> Arrays:
    """Additive output of a batch."""
    digests = np.frombuffer(b"".join(picture.digest for picture in pictures), dtype=np.uint8)
    return {
        "candidate": np.full(len(pictures), place, dtype=np.uint8),
        "features": np.concatenate([picture.features for picture in pictures]),
        "digest": digests.reshape(len(pictures), -1),
        "readable": np.array([picture.is_readable for picture in pictures], dtype=np.uint8),
    }


def _snapshot(course: _Course, digest: str) -> PhaseState:
    """See `Choosing._restored`; in memory of its own."""
    arrays, path = {RIGHT: course.right.astype(np.uint8)}, None
    if course.path is not None:
        stored = course.path.to_phase_state()
        arrays |= {f"{PATH}{name}": array for name, array in stored.arrays.items()}
        path = dict(stored.data)
    data: dict[str, Json] = {"iteration": course.iteration, "images": course.images, "sample": digest}
    return PhaseState(arrays, {**data, "choice": course.choice.to_json(), "path": path})


def _ended(choice: ExtractorChoice, used: Array) -> PhaseState:
    return PhaseState({USED: used}, {CHOSEN: choice.to_json()})
