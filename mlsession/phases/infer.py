"""Inferencing: what a trained head says of every image of a source that need not be labelled.

    for each batch of images, in index order: read, extract with their views if there are any, predict

Additive output, one row for each image of the index, in its order: `digest` uint8 [32], the SHA-256 of the image's
bytes; `reason` int32, 0 for an image that was predicted, otherwise the place, from 1, of why it cannot be read among
the `reasons` of the state; `top` int32 [T], the best classes, best first, of equals the earlier; `top_confidence`
float64 [T], their probabilities. Both are 0 where the image cannot be read. The state is `Inferred`.

The probabilities of an image are computed by themselves: a matrix product rounds by the number of its rows, and what
is said of an image must not depend on its neighbours. Those of its views are one product, and their mean counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mlsession.heads.protocol import Head
from mlsession.metrics.ranks import best_classes
from mlsession.phases.featured import Picture
from mlsession.phases.featurize import Featurizer
from mlsession.phases.inferred import Inferred
from mlsession.phases.listed import ListedImages
from mlsession.phases.pictures import BATCH
from mlsession.session.phase import Array, Notice, PhaseState, Step

MOST_REASONS = 10_000
"""Different reasons that are kept word by word: some name the size of the picture, and the state stays small."""
ANY_REASON = "it cannot be read"
"""What is kept in place of all others."""


@dataclass(slots=True)
class _Done:
    """What the steps so far have found."""

    so_far: Inferred
    places: dict[str, int] = field(default_factory=dict)
    """Of each reason, from 1."""

    def add(self, pictures: Sequence[Picture]) -> Array:
        """Counts pictures; int32 [n]: the place of each one's reason, 0 for those that can be read."""
        before = self.so_far
        bad = [picture for picture in pictures if not picture.is_readable]
        placed = [self._place(picture.reason) if picture.reason else 0 for picture in pictures]
        self.so_far = replace(
            before,
            num_images=before.num_images + len(pictures),
            num_skipped=before.num_skipped + len(bad),
            first_skipped=bad[0].row if bad and not before.num_skipped else before.first_skipped,
            reasons=tuple(self.places) if len(self.places) > len(before.reasons) else before.reasons,
        )
        return np.array(placed, dtype=np.int32)

    def _place(self, reason: str) -> int:
        if reason not in self.places and len(self.places) >= MOST_REASONS - 1:
            reason = ANY_REASON
        return self.places.setdefault(reason, len(self.places) + 1)


class Inferencing:
    """The runner of the inferencing phase."""

    def __init__(
        self,
        images: ListedImages,
        head: Head,
        top: int,
        featurizer: Featurizer,
        fail_on_bad_image: bool = False,
    ) -> None:
        """`top` classes are kept of each image, T = min(top, K).

        What is said of an image is averaged over the views of the `featurizer`.
        """
        self._images = images
        self._keys = images.keys
        self._head = head
        self._top = top
        self._featurizer = featurizer
        self._fail_on_bad_image = fail_on_bad_image

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        restored = Inferred() if state is None else Inferred.of(state)
        if self._fail_on_bad_image:
            restored.check_all_readable(self._keys)
        done = _Done(restored, {reason: place for place, reason in enumerate(restored.reasons, start=1)})
        count = len(self._keys)
        try:
            rows = range(restored.num_images, count)
            images, key_of = self._images, self._keys.__getitem__
            for pictures in self._featurizer.batches(rows, key_of, images.bytes_of, augmented=True, stamps=images):
                adds = self._predict(pictures, done)
                if self._fail_on_bad_image:
                    done.so_far.check_all_readable(self._keys)
                reused = self._featurizer.num_reused
                yield Step(
                    iteration=-(-done.so_far.num_images // BATCH),
                    total=-(-count // BATCH),
                    item_count=done.so_far.num_images,
                    total_items=count,
                    adds=adds,
                    notices=self._notices(pictures),
                    metrics={"reused": float(reused)} if reused else {},
                    snapshot=done.so_far.state,
                    last=done.so_far.num_images == count,
                )
        finally:
            self._featurizer.close()

    def _predict(self, pictures: Sequence[Picture], done: _Done) -> dict[str, Array]:
        reason, kept = done.add(pictures), min(self._top, self._head.num_classes)
        top = np.zeros((len(pictures), kept), dtype=np.int32)
        confidence = np.zeros((len(pictures), kept), dtype=np.float64)
        for place in np.flatnonzero(reason == 0).tolist():
            views = pictures[place].features.astype(np.float32)
            probabilities = self._head.probabilities(views).mean(axis=0, keepdims=True)
            best = best_classes(probabilities, kept)[0]
            top[place], confidence[place] = best, probabilities[0, best]
        digests = np.stack([np.frombuffer(picture.digest, dtype=np.uint8) for picture in pictures])
        return {"digest": digests, "reason": reason, "top": top, "top_confidence": confidence}

    def _notices(self, pictures: Sequence[Picture]) -> tuple[Notice, ...]:
        return tuple(
            Notice(item=self._keys[picture.row], text=picture.reason) for picture in pictures if not picture.is_readable
        )
