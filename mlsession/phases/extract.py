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

import numpy as np
import numpy.typing as npt

from mlsession.errors import UnreadableImage, UnusableData
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.phases.corpus import Corpus
from mlsession.phases.pictures import Picture, prepared_batches
from mlsession.session.phase import Array, Json, Notice, Past, Phase, PhaseState, Step

BATCH = 16
"""Images in a step: bounded work, and small enough for the caches of a CPU."""

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
        load_extractor: Callable[[], FeatureExtractor],
        split: Split,
        past: Past,
        fail_on_bad_image: bool = False,
    ) -> None:
        self._corpus = corpus
        self._load_extractor = load_extractor
        self._split = split
        self._past = past
        self._fail_on_bad_image = fail_on_bad_image

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        done, seen = self._restore(state)
        extractor = self._load_extractor()
        count = len(self._corpus)
        batches = prepared_batches(done, count, BATCH, lambda row: self._corpus.load(row, extractor.input_side))
        for pictures in batches:
            done += len(pictures)
            adds = self._extract(extractor, pictures)
            seen.digests.append(adds["digest"])
            seen.readable.append(adds["readable"])
            notices = self._notices(pictures, seen)
            last = done == count
            final = self._final_arrays(seen) if last else {}

            def snapshot(rows: int = done, arrays: dict[str, Array] = final) -> PhaseState:
                return PhaseState(arrays, {"rows": rows, "skipped": list(seen.skipped)})

            yield Step(
                iteration=-(-done // BATCH),
                total=-(-count // BATCH),
                item_count=done,
                total_items=count,
                adds=adds,
                notices=notices,
                snapshot=snapshot,
                last=last,
            )

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

    def _extract(self, extractor: FeatureExtractor, pictures: tuple[Picture, ...]) -> dict[str, Array]:
        readable = np.array([picture.pixels is not None for picture in pictures])
        features = np.zeros((len(pictures), extractor.dimension), dtype=np.float32)
        pixels = [picture.pixels for picture in pictures if picture.pixels is not None]
        if pixels:
            features[readable] = extractor.extract(np.stack(pixels))
        return {
            "features": features,
            "digest": np.stack([np.frombuffer(picture.digest, dtype=np.uint8) for picture in pictures]),
            "readable": readable.astype(np.uint8),
        }

    def _notices(self, pictures: tuple[Picture, ...], seen: _Seen) -> tuple[Notice, ...]:
        bad = [picture for picture in pictures if picture.pixels is None]
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
