"""Evaluating: what the trained head says of every training, validation and test image, and what that amounts to.

    for each block of the corpus's images, as they are (no augmented view of them): predict
        of a fine-tuned network, for each batch of them: read, extract, predict
    for each batch of test images: read, extract, predict
    last: metrics of each part

Additive output, one row for each readable image: `part` uint8, `row` int64, and what `result_columns` keeps. `row` is
the image's place in the corpus, of test images that in the test set. Every state holds the exact sums so far, from
which the metrics follow, and how many of the images to measure on are among those trained on, byte for byte; the last
one also how large some of the training images are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import DIGEST_BYTES, DigestMap
from mlsession.errors import ModifiedTrainingData
from mlsession.heads.blocks import widened
from mlsession.heads.protocol import Head
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.images import result_columns
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.evaluated import MEASURED, PARTS, SHORT_SIDES, Leaked, encode_sums, leaked_of, sums_of
from mlsession.phases.featured import readable_rows
from mlsession.phases.features import BLOCK, FeatureTable
from mlsession.phases.pictures import BATCH
from mlsession.phases.sharing import FeatureSource
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_list
from mlsession.session.phase import Array, Arrays, Json, Notice, PhaseState, Step

_CURE = "put the images back as they were, or start a new session folder"


@dataclass(slots=True)
class _Done:
    """What the steps so far have found."""

    sums: dict[str, EvaluationSums]
    """By part."""
    leaked: dict[str, Leaked] = field(default_factory=lambda: dict.fromkeys(MEASURED, Leaked()))
    skipped: list[Json] = field(default_factory=list)
    items: int = 0
    iteration: int = 0
    short_sides: tuple[int | None, ...] | None = None
    """See `evaluated.short_sides_of`; None until the last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAtAgain:
    """The corpus's images where the network is another one than that whose features were extracted."""

    corpus: Corpus
    featurizer: FeatureSource
    """Of the network that there is now."""


class Evaluating:
    """The runner of the evaluating phase."""

    def __init__(
        self,
        classes: tuple[str, ...],
        head: Head,
        load_table: Callable[[], FeatureTable],
        test: Part | None,
        featurizer: FeatureSource,
        numerics: Callable[[], AbstractContextManager[None]],
        again: LookedAtAgain | None = None,
        short_sides: Callable[[], Sequence[int | None]] = tuple,
    ) -> None:
        """`featurizer` is for the test images; the corpus's own features are those extracted, or made `again`.

        `short_sides` looks at some of the training images, see `evaluated.short_sides_of`.
        """
        self._classes = classes
        self._head = head
        self._load_table = load_table
        self._test = test
        self._featurizer = featurizer
        self._numerics = numerics
        self._again = again
        self._short_sides = short_sides
        self._trained_on = DigestMap(np.empty((0, DIGEST_BYTES), dtype=np.uint8))

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        with self._numerics():
            table = self._load_table()
            # Of the images trained on, by content.
            self._trained_on = DigestMap(table.digests[table.image[table.training & table.original]])
            done = self._restore(state)
            tests = 0 if self._test is None else len(self._test.keys)
            originals = np.flatnonzero(table.original)
            blocks = -(-len(originals) // (BLOCK if self._again is None else BATCH))
            total = blocks + -(-tests // BATCH)
            for adds, notices in self._turns(table, originals, blocks, done):
                done.iteration += 1
                last = done.iteration == total
                done.short_sides = tuple(self._short_sides()) if last else None
                yield Step(
                    iteration=done.iteration,
                    total=total,
                    item_count=done.items,
                    total_items=len(originals) + tests,
                    adds=adds,
                    notices=notices,
                    metrics=_accuracies(done) if last else {},
                    snapshot=partial(_snapshot, done),
                    last=last,
                )

    def _restore(self, state: PhaseState | None) -> _Done:
        if state is None:
            return _Done(sums={part: EvaluationSums.zero(len(self._classes)) for part in PARTS})
        with as_written("state of evaluating"):
            iteration, items = (as_count(state.data[name]) for name in ("iteration", "items"))
            skipped = as_list(state.data["skipped"])
            return _Done(
                sums=sums_of(state, len(self._classes)),
                leaked=leaked_of(state),
                skipped=list(skipped),
                items=items,
                iteration=iteration,
            )

    def _turns(
        self, table: FeatureTable, originals: npt.NDArray[np.int64], blocks: int, done: _Done
    ) -> Iterator[tuple[Arrays, tuple[Notice, ...]]]:
        first_test = max(done.iteration - blocks, 0) * BATCH
        for rows, features in self._corpus_turns(table, originals, range(done.iteration, blocks), done):
            part = table.validation[rows].astype(np.uint8)
            adds = self._predict(features, part, table.image[rows], table.labels[rows], done)
            self._count_leaked(table.digests[adds["row"]], adds, done)
            yield adds, ()
        if self._test is not None:
            try:
                yield from self._test_turns(self._test, first_test, done)
            finally:
                self._featurizer.close()

    def _corpus_turns(
        self, table: FeatureTable, originals: npt.NDArray[np.int64], turns: range, done: _Done
    ) -> Iterator[tuple[npt.NDArray[np.int64], Array]]:
        """For each of some turns the rows of the table to predict, int64 [n], and their features, float32 [n, D]."""
        used = table.training | table.validation
        if self._again is not None:
            try:
                for images, features in _made_again(self._again, table, turns.start * BATCH, done):
                    rows = originals[images]
                    yield rows[used[rows]], features[used[rows]]
            finally:
                self._again.featurizer.close()
            return
        for turn in turns:
            rows = originals[turn * BLOCK : (turn + 1) * BLOCK]
            done.items += len(rows)
            rows = rows[used[rows]]
            yield rows, widened(table.take(rows))

    def _test_turns(self, test: Part, first: int, done: _Done) -> Iterator[tuple[Arrays, tuple[Notice, ...]]]:
        rows = range(first, len(test.keys))
        for pictures in self._featurizer.batches(rows, test.keys.__getitem__, test.bytes_of, stamps=test):
            done.items += len(pictures)
            bad = [picture for picture in pictures if not picture.is_readable]
            done.skipped.extend([picture.row, picture.reason] for picture in bad)
            found, features = readable_rows(pictures)
            part = np.full(len(found), PARTS.index("test"), dtype=np.uint8)
            notices = tuple(Notice(item=test.keys[picture.row], text=picture.reason) for picture in bad)
            adds = self._predict(features, part, found, test.labels[found], done)
            digests = [np.frombuffer(each.digest, dtype=np.uint8) for each in pictures if each.is_readable]
            self._count_leaked(np.array(digests, dtype=np.uint8).reshape(-1, DIGEST_BYTES), adds, done)
            yield adds, notices

    def _predict(
        self,
        features: Array,
        part: Array,
        rows: npt.NDArray[np.int64],
        truth: npt.NDArray[np.int64],
        done: _Done,
    ) -> dict[str, Array]:
        probabilities = self._head.probabilities(features)
        for code, name in enumerate(PARTS):
            chosen = part == code
            done.sums[name] = done.sums[name].add(truth[chosen], probabilities[chosen])
        return {"part": part, "row": rows.astype(np.int64), **result_columns(truth, probabilities)}

    def _count_leaked(self, digests: npt.NDArray[np.uint8], adds: Arrays, done: _Done) -> None:
        """Counts which of the images that were just predicted are among those trained on: uint8 [n, 32]."""
        known, _ = self._trained_on.look_up(digests)
        for name in MEASURED:
            chosen = known & (adds["part"] == PARTS.index(name))
            done.leaked[name] = done.leaked[name].add(int(chosen.sum()), int((chosen & (adds["rank"] == 0)).sum()))


def _made_again(
    again: LookedAtAgain, table: FeatureTable, first: int, done: _Done
) -> Iterator[tuple[npt.NDArray[np.int64], Array]]:
    """For each batch of the corpus's images from `first` on those that can be read, and their features.

    Raises `ModifiedTrainingData` for an image that is not what was extracted.
    """
    corpus = again.corpus
    for pictures in again.featurizer.batches(range(first, len(corpus)), corpus.key, corpus.bytes_of):
        done.items += len(pictures)
        for picture in pictures:
            if picture.digest != table.digests[picture.row].tobytes():
                key = corpus.key(picture.row)
                raise ModifiedTrainingData(added=(), removed=(), relabeled=(), replaced=(key,), cure=_CURE)
        yield readable_rows(pictures)


def _accuracies(done: _Done) -> dict[str, float]:
    """For a progress line."""
    return {f"{part}_accuracy": sums.accuracy for part, sums in done.sums.items() if sums.count}


def _snapshot(done: _Done) -> PhaseState:
    arrays, sums = encode_sums(done.sums)
    return PhaseState(
        arrays,
        {
            "iteration": done.iteration,
            "items": done.items,
            "skipped": list(done.skipped),
            **sums,
            "leaked": {part: leaked.to_json() for part, leaked in done.leaked.items()},
            **({} if done.short_sides is None else {SHORT_SIDES: list(done.short_sides)}),
        },
    )
