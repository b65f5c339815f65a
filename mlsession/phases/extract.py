"""Extracting: every image of the corpus becomes one row of features, once; then the rows are split.

    for each batch of rows, in index order:
        read, digest and prepare the images (ahead, in threads)
        features of those that can be read -> additive output
    when all rows are done: choose the validation rows from the labels and digests of the readable images

Additive output, one row for each image: `features` float32 [D] (zeros where unreadable), `digest` uint8 [32],
`readable` uint8. The last state holds `validation` and `readable`, uint8 [N].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from mlsession.errors import UnreadableImage, UnusableData
from mlsession.phases.corpus import Corpus
from mlsession.phases.featurize import Featurizer, Picture
from mlsession.phases.pictures import BATCH, prepared_batches
from mlsession.session.phase import Array, Json, Notice, Past, Phase, PhaseState, Step

Split = Callable[[npt.NDArray[np.int64], npt.NDArray[np.uint8]], npt.NDArray[np.bool_]]
"""(labels int64 [n], digests uint8 [n, 32]) of readable training images -> bool [n], True for validation."""


@dataclass(slots=True)
class _Seen:
    """Small facts about the rows done so far."""

    digests: list[Array] = field(default_factory=list)
    readable: list[Array] = field(default_factory=list)
    skipped: list[Json] = field(default_factory=list)


class Extracting:
    """The runner of the extracting phase."""

    def __init__(
        self,
        corpus: Corpus,
        featurizer: Featurizer,
        split: Split,
        past: Past,
        fail_on_bad_image: bool = False,
    ) -> None:
        self._corpus = corpus
        self._featurizer = featurizer
        self._split = split
        self._past = past
        self._fail_on_bad_image = fail_on_bad_image

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        done, seen = self._restore(state)
        count = len(self._corpus)
        try:
            for pictures in prepared_batches(done, count, self._picture):
                done += len(pictures)
                adds = self._extract(pictures)
                seen.digests.append(adds["digest"])
                seen.readable.append(adds["readable"])
                notices = self._notices(pictures, seen)
                last = done == count
                final = self._final_arrays(seen) if last else {}
                reused = self._featurizer.num_reused
                yield Step(
                    iteration=-(-done // BATCH),
                    total=-(-count // BATCH),
                    item_count=done,
                    total_items=count,
                    adds=adds,
                    notices=notices,
                    metrics={"reused": float(reused)} if reused else {},
                    snapshot=partial(_snapshot, done, tuple(seen.skipped), final),
                    last=last,
                )
        finally:
            self._featurizer.close()

    def _picture(self, row: int) -> Picture:
        return self._featurizer.picture(row, self._corpus.key(row), self._corpus.bytes_of(row))

    def _restore(self, state: PhaseState | None) -> tuple[int, _Seen]:
        if state is None:
            return 0, _Seen()
        rows, skipped = state.data["rows"], state.data["skipped"]
        assert isinstance(rows, int)
        assert isinstance(skipped, list)
        seen = _Seen(skipped=list(skipped))
        for block in self._past.rows(Phase.EXTRACTING):
            seen.digests.append(np.array(block["digest"]))
            seen.readable.append(np.array(block["readable"]))
        return rows, seen

    def _extract(self, pictures: tuple[Picture, ...]) -> dict[str, Array]:
        return {
            "features": self._featurizer.features(pictures, self._corpus.bytes_of),
            "digest": np.stack([np.frombuffer(picture.digest, dtype=np.uint8) for picture in pictures]),
            "readable": np.array([picture.is_readable for picture in pictures], dtype=np.uint8),
        }

    def _notices(self, pictures: tuple[Picture, ...], seen: _Seen) -> tuple[Notice, ...]:
        bad = [picture for picture in pictures if not picture.is_readable]
        if bad and self._fail_on_bad_image:
            raise UnreadableImage(self._corpus.key(bad[0].row), bad[0].reason)
        seen.skipped.extend([picture.row, picture.reason] for picture in bad)
        return tuple(Notice(item=self._corpus.key(picture.row), text=picture.reason) for picture in bad)

    def _final_arrays(self, seen: _Seen) -> dict[str, Array]:
        readable = np.concatenate(seen.readable).astype(bool)
        digests, labels = np.concatenate(seen.digests), self._corpus.labels
        validation = self._corpus.from_validation_source & readable
        if self._corpus.validation is None:
            validation[readable] = self._split(labels[readable], digests[readable])
        self._check_classes(labels[readable & ~validation])
        return {"validation": validation.astype(np.uint8), "readable": readable.astype(np.uint8)}

    def _check_classes(self, labels: npt.NDArray[np.int64]) -> None:
        present = set(np.unique(labels).tolist())
        missing = [name for code, name in enumerate(self._corpus.classes) if code not in present]
        if missing:
            raise UnusableData(
                f"class {missing[0]!r}",
                "none of its images can be read; replace them, or remove the folder and start a new session",
            )


def _snapshot(rows: int, skipped: tuple[Json, ...], arrays: dict[str, Array]) -> PhaseState:
    return PhaseState(arrays, {"rows": rows, "skipped": list(skipped)})
