"""From an image's bytes to the features of its views: out of the cache, or by decoding it and asking the extractor."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from mlsession.augment.making import Pixels, Together, ViewMaker
from mlsession.augment.views import ViewPlan
from mlsession.cache.remembering import Memory
from mlsession.errors import UnreadableImage
from mlsession.extractors.halves import Halves, to_half
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.images.decode import STRICT, ReadingRules, SquareAndWide
from mlsession.phases.cache import view_key
from mlsession.phases.claims import Claims
from mlsession.phases.corpus import StampedRows
from mlsession.phases.donation import FeatureRows
from mlsession.phases.featured import Picture
from mlsession.phases.pictures import BATCH, WHOLE, Read, Share, worked_batches
from mlsession.phases.remembered import Remembered

NO_NUMBERS = "its features are infinite or not a number"
"""Why an image is left out whose pixels a network makes nothing of."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Draft:
    """A picture in the making."""

    row: int
    digest: bytes
    features: Halves
    reason: str
    pending: dict[int, Pixels]
    """By view, uint8 [side, side, 3]: what the extractor has to see."""

    def finished(self) -> Picture:
        is_good = bool(np.isfinite(self.features).all())
        return Picture(
            row=self.row,
            digest=self.digest,
            features=self.features if is_good else np.zeros_like(self.features),
            reason=self.reason if is_good or self.reason else NO_NUMBERS,
            made=tuple(self.pending),
        )


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
        of `ViewMaker`.
        """
        self._load_extractor = load_extractor
        self._dimension = dimension
        self._cache = cache
        self._views = ViewPlan() if views is None else views
        self._augmenter_identity = augmenter
        self._is_shared = is_shared
        self._maker = ViewMaker(self._views, side, rules, together)
        self._num_workers = workers
        self._release = release
        self._memory = memory
        self._remembered: Remembered | None = None
        """The source of the batches, if its images are known by stamps."""
        self._batches: Generator[tuple[Picture, ...], None, None] | None = None
        self._workers = threading.local()
        self._claims = Claims()
        self.num_reused = 0
        """Rows that were at hand."""

    @property
    def num_views(self) -> int:
        """Rows of a training image."""
        return len(self._views)

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

        def work(batch: Sequence[tuple[int, Read]]) -> tuple[Picture, ...]:
            return self._worked([(row, key_of(row), read()) for row, read in batch], views)

        known = None if stamps is None or self._memory is None else Remembered(self._memory, stamps)
        read, at_hand = bytes_of, None
        if known is not None:
            read, at_hand = known.read, partial(self._known_batch, known, views)
        self._remembered = known
        self._batches = worked_batches(rows, read, work, size, self._num_workers, self._is_shared, share, at_hand)
        return self._batches

    def keep(self, pictures: Sequence[Picture]) -> None:
        """Counts what was at hand, and hands what is new to the cache: of each batch in order."""
        for picture in pictures:
            self._keep(picture)
        if self._remembered is not None:
            self._remembered.keep(pictures)

    def forget(self, pictures: Sequence[Picture]) -> None:
        """Leaves it to another process to keep them."""
        if self._remembered is not None:
            self._remembered.forget(pictures)
        for picture in pictures:
            for view in picture.made:
                self._claims.forget(self._key(picture.digest, view))

    def close(self) -> None:
        """Writes what the cache still holds back, and ends what the extractors hold."""
        if self._batches is not None:
            self._batches.close()  # So that no worker asks an extractor that is gone.
        if self._release is not None:
            self._release()
        if self._cache is not None:
            self._cache.close()

    def _keep(self, picture: Picture) -> None:
        """Hands what is new to the cache: here, since the caller's thread sees the pictures in order."""
        if picture.is_readable:
            self.num_reused += picture.num_views - len(picture.made)
        for view in picture.made:
            key = self._key(picture.digest, view)
            if self._cache is not None and picture.is_readable:
                self._cache.add(key, picture.features[view])
            self._claims.forget(key)

    def _known_batch(self, known: Remembered, views: range, rows: range) -> tuple[Picture, ...] | None:
        """All of a batch that need not be read, or None."""
        digests = known.digests(rows)
        if digests is None or self._cache is None:
            return None
        hits, found = self._cache.lookup([self._key(digest, view) for digest in digests for view in views])
        if not hits.all() or found.shape[1] != self._dimension or not np.isfinite(found).all():
            return None
        features = found.reshape(len(rows), len(views), self._dimension)
        return tuple(
            Picture(row=row, digest=digest, features=each)
            for row, digest, each in zip(rows, digests, features, strict=True)
        )

    def _worked(self, batch: Sequence[tuple[int, str, bytes]], views: range) -> tuple[Picture, ...]:
        """All of a batch of (row, key, bytes), in the calling thread."""
        digests = [hashlib.sha256(data).digest() for _, _, data in batch]
        keys = [[self._key(digest, view) for view in views] for digest in digests]
        asked = list(dict.fromkeys(itertools.chain.from_iterable(keys)))
        # First: what another has made by now is at hand then, or still claimed.
        mine, claimed = self._claims.take(asked)
        try:
            at_hand = {key: row for key, row in zip(asked, self._at_hand(asked), strict=True) if row is not None}
            drafts, awaited = self._drafts(batch, digests, keys, at_hand, mine - at_hand.keys(), views)
        finally:
            self._claims.give_up(mine)
        for draft, view in awaited:
            self._take_over(draft, view, claimed[self._key(draft.digest, view)].result(), batch)
        return tuple(draft.finished() for draft in drafts)

    def _drafts(
        self,
        batch: Sequence[tuple[int, str, bytes]],
        digests: Sequence[bytes],
        keys: Sequence[Sequence[bytes]],
        at_hand: Mapping[bytes, Halves],
        mine: Set[bytes],
        views: range,
    ) -> tuple[list[_Draft], list[tuple[_Draft, int]]]:
        """Drafts with the rows that are at hand or made here (`mine`), and which views others make."""
        drafts, awaited, left = list[_Draft](), list[tuple[_Draft, int]](), set(mine)
        named = zip(digests, batch, keys, strict=True)
        files = {digest: data for digest, (_, _, data), names in named if not mine.isdisjoint(names)}
        decoded = self._maker.decoded(files, views)
        for (row, key, data), digest, names in zip(batch, digests, keys, strict=True):
            cached = {view: at_hand[names[view]] for view in views if names[view] in at_hand}
            wanted = [view for view in views if names[view] in left]
            draft = self._draft(row, key, data, digest, cached, wanted, len(views), decoded)
            if not draft.reason:
                left.difference_update(names[view] for view in wanted)
                awaited += [(draft, view) for view in views if view not in cached and view not in wanted]
            drafts.append(draft)
        pending = [pixels for draft in drafts for pixels in draft.pending.values()]
        if pending:
            rows = iter(to_half(self._extractor().extract(np.stack(pending))))
            for draft in drafts:
                for view in draft.pending:
                    draft.features[view] = next(rows)
                    self._claims.settle(self._key(draft.digest, view), draft.features[view])
        return drafts, awaited

    def _take_over(
        self, draft: _Draft, view: int, found: Halves | None, batch: Sequence[tuple[int, str, bytes]]
    ) -> None:
        """Takes over a row that was made for the same content; makes it where that failed."""
        if found is not None:
            draft.features[view] = found
            return
        data, name = next((data, name) for row, name, data in batch if row == draft.row)
        made = self._draft(draft.row, name, data, draft.digest, {}, [view], len(draft.features))
        if made.reason:
            draft.reason = made.reason
            return
        draft.features[view] = to_half(self._extractor().extract(np.stack([made.pending[view]])))[0]
        draft.pending |= made.pending

    def _draft(
        self,
        row: int,
        key: str,
        data: bytes,
        digest: bytes,
        cached: Mapping[int, Halves],
        wanted: Collection[int],
        num_views: int,
        decoded: Mapping[bytes, SquareAndWide | None] = MappingProxyType({}),
    ) -> _Draft:
        features = np.zeros((num_views, self._dimension), dtype=np.float16)
        try:
            pending = self._maker.of_file(data, key, digest, wanted, decoded)
        except UnreadableImage as error:
            return _Draft(row=row, digest=digest, features=features, reason=error.reason, pending={})
        for view, found in cached.items():
            features[view] = found
        return _Draft(row=row, digest=digest, features=features, reason="", pending=pending)

    def _at_hand(self, keys: Sequence[bytes]) -> Iterator[Halves | None]:
        """For each key its row, if it need not be computed."""
        if self._cache is None:
            return iter([None] * len(keys))
        hits, rows = self._cache.lookup(keys)
        if rows.shape[1] != self._dimension:
            return iter([None] * len(keys))
        found = iter(rows)
        return iter([next(found) if hit else None for hit in hits])

    def _extractor(self) -> FeatureExtractor:
        """The calling worker's own."""
        found: FeatureExtractor | None = getattr(self._workers, "extractor", None)
        if found is None:
            found = self._workers.extractor = self._load_extractor()
        return found

    def _key(self, digest: bytes, view: int) -> bytes:
        return view_key(self._views, self._augmenter_identity, digest, view)
