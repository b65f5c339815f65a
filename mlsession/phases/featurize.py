"""From an image's bytes to the features of its views: out of the cache, or by decoding it and asking the extractor."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial

from mlsession.augment.making import Together, ViewMaker
from mlsession.augment.views import ViewPlan
from mlsession.cache.remembering import Memory
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.images.decode import STRICT, ReadingRules
from mlsession.phases.at_hand import AtHand
from mlsession.phases.donation import FeatureRows
from mlsession.phases.featured import Picture
from mlsession.phases.listed import StampedRows
from mlsession.phases.making import File, PictureMaker
from mlsession.phases.pictures import BATCH, WHOLE, Read, Share, worked_batches
from mlsession.phases.remembered import Remembered, remember
from mlsession.store.stamps import NO_STAMP


class Featurizer:
    """Turns images into features; belongs to one thread, and works in several."""

    def __init__(
        self,
        load_extractor: Callable[[], FeatureExtractor],
        dimension: int,
        side: int,
        cache: FeatureRows | None,
        views: ViewPlan | None = None,
        augmenter: str = "",
        is_shared: Callable[[], bool] | None = None,
        rules: ReadingRules = STRICT,
        workers: int | None = None,
        release: Callable[[], None] | None = None,
        together: Together | None = None,
        memory: Memory | None = None,
    ) -> None:
        """`load_extractor` is called in each worker that needs one, from several threads at once.

        `views` are those of training images; `augmenter` is the `augmenter_identity` that makes them; `is_shared` is of
        the sources, see `worked_batches`, and so are `workers`; `release` ends what the extractors hold; `together` is
        of `ViewMaker`; `memory` is what is known of files.
        """
        plan = ViewPlan() if views is None else views
        self._at_hand = AtHand(cache, plan, augmenter, dimension)
        self._maker = PictureMaker(load_extractor, dimension, ViewMaker(plan, side, rules, together), self._at_hand)
        self._memory = memory
        self._is_shared = is_shared
        self._num_workers = workers
        self._release = release
        self._batches: Generator[tuple[Picture, ...], None, None] | None = None
        self.num_views = len(plan)
        """Rows of a training image."""
        self.num_reused = 0
        """Rows that were at hand."""

    def batches(
        self,
        rows: range,
        key_of: Callable[[int], str],
        bytes_of: Callable[[int], bytes],
        size: int = BATCH,
        *,
        augmented: bool = False,
        stamps: StampedRows | None = None,
    ) -> Iterator[tuple[Picture, ...]]:
        """The images of some rows of a source, in order, in batches of `size`; with their views if `augmented`.

        `stamps` know them without reading: then nothing is read of a batch whose features are all at hand. Raises what
        reading raises; an image that cannot be decoded is a picture with a reason.
        """
        for pictures in self.worked(rows, key_of, bytes_of, size, augmented, WHOLE, stamps):
            self.keep(pictures)
            yield pictures

    def worked(
        self,
        rows: range,
        key_of: Callable[[int], str],
        bytes_of: Callable[[int], bytes],
        size: int,
        augmented: bool,
        share: Share,
        stamps: StampedRows | None = None,
    ) -> Iterator[tuple[Picture, ...]]:
        """The same of a share of the batches, and without keeping anything: `keep` or `forget` each one."""
        views = range(self.num_views if augmented else 1)
        known = None if stamps is None or self._memory is None else Remembered(self._memory, stamps)

        def work(batch: Sequence[tuple[int, Read]]) -> tuple[Picture, ...]:
            # In this order: what a file was known by is there once it was read.
            files = [
                File(row=row, key=key_of(row), data=read(), stamp=known.taken(row) if known else NO_STAMP)
                for row, read in batch
            ]
            return self._maker.pictures(files, views)

        read = bytes_of if known is None else known.read
        at_hand = None if known is None else partial(self._known, known, views)
        self._batches = worked_batches(rows, read, work, size, self._num_workers, self._is_shared, share, at_hand)
        return self._batches

    def keep(self, pictures: Sequence[Picture]) -> None:
        """Counts what was at hand, and hands what is new to the cache: of each batch in order.

        Here, since the caller's thread sees the pictures in order; those that other processes have made, too.
        """
        for picture in pictures:
            if picture.is_readable:
                self.num_reused += picture.num_views - len(picture.made)
            self._at_hand.add(picture)
            self._maker.let_go(picture)
        if self._memory is not None:
            remember(self._memory, pictures)

    def forget(self, pictures: Sequence[Picture]) -> None:
        """Leaves it to another process to keep them."""
        for picture in pictures:
            self._maker.let_go(picture)

    def close(self) -> None:
        """Writes what the cache still holds back, and ends what the extractors hold."""
        if self._batches is not None:
            self._batches.close()  # So that no worker asks an extractor that is gone.
        if self._release is not None:
            self._release()
        self._at_hand.close()

    def _known(self, known: Remembered, views: range, rows: range) -> tuple[Picture, ...] | None:
        """All of a batch that need not be read, or None."""
        digests = known.digests(rows)
        return None if digests is None else self._at_hand.pictures(rows, digests, views)
