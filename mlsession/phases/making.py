"""Making the features of files: what is not at hand is decoded and shown to the extractor, each row once."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mlsession.augment.making import Pixels, ViewMaker
from mlsession.errors import UnreadableImage
from mlsession.extractors.halves import Halves, to_half
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.images.decode import SquareAndWide
from mlsession.phases.at_hand import AtHand
from mlsession.phases.claims import Claims
from mlsession.phases.featured import Picture
from mlsession.store.stamps import NO_STAMP

NO_NUMBERS = "its features are infinite or not a number"
"""Why an image is left out whose pixels a network makes nothing of."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class File:
    """An image as it was read."""

    row: int
    key: str
    """For messages."""
    data: bytes
    stamp: bytes = NO_STAMP
    """See `Picture.stamp`."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Draft:
    """A picture in the making."""

    file: File
    digest: bytes
    features: Halves
    reason: str
    pending: dict[int, Pixels]
    """By view, uint8 [side, side, 3]: what the extractor has to see."""

    def finished(self) -> Picture:
        is_good = bool(np.isfinite(self.features).all())
        return Picture(
            row=self.file.row,
            digest=self.digest,
            features=self.features if is_good else np.zeros_like(self.features),
            reason=self.reason if is_good or self.reason else NO_NUMBERS,
            made=tuple(self.pending),
            stamp=self.file.stamp,
        )


class PictureMaker:
    """Makes pictures out of files, in any number of threads. What one of them makes the others wait for."""

    def __init__(
        self, load_extractor: Callable[[], FeatureExtractor], dimension: int, views: ViewMaker, at_hand: AtHand
    ) -> None:
        """`load_extractor` is called in each thread that needs one, in several at once."""
        self._load_extractor = load_extractor
        self._dimension = dimension
        self._views = views
        self._at_hand = at_hand
        self._threads = threading.local()
        self._claims = Claims()

    def pictures(self, files: Sequence[File], views: range) -> tuple[Picture, ...]:
        """Those of a batch of files, in the calling thread. Until `let_go` of them none of their rows is made again."""
        digests = [hashlib.sha256(file.data).digest() for file in files]
        keys = [[self._at_hand.key(digest, view) for view in views] for digest in digests]
        asked = list(dict.fromkeys(itertools.chain.from_iterable(keys)))
        # First: what another has made by now is at hand then, or still claimed.
        mine, claimed = self._claims.take(asked)
        try:
            found = self._at_hand.find(asked)
            drafts, awaited = self._drafts(files, digests, keys, found, mine - found.keys(), views)
        finally:
            self._claims.give_up(mine)
        for draft, view in awaited:
            self._take_over(draft, view, claimed[self._at_hand.key(draft.digest, view)].result())
        return tuple(draft.finished() for draft in drafts)

    def let_go(self, picture: Picture) -> None:
        """Of what was made of a picture: it is at hand by now, or another process keeps it."""
        for view in picture.made:
            self._claims.forget(self._at_hand.key(picture.digest, view))

    def _drafts(
        self,
        files: Sequence[File],
        digests: Sequence[bytes],
        keys: Sequence[Sequence[bytes]],
        found: Mapping[bytes, Halves],
        mine: Set[bytes],
        views: range,
    ) -> tuple[list[_Draft], list[tuple[_Draft, int]]]:
        """Drafts with the rows that are at hand or made here (`mine`), and which views others make."""
        drafts, awaited, left = list[_Draft](), list[tuple[_Draft, int]](), set(mine)
        named = zip(digests, files, keys, strict=True)
        decoded = self._views.decoded(
            {digest: file.data for digest, file, names in named if not mine.isdisjoint(names)}, views
        )
        for file, digest, names in zip(files, digests, keys, strict=True):
            cached = {view: found[names[view]] for view in views if names[view] in found}
            wanted = [view for view in views if names[view] in left]
            draft = self._draft(file, digest, cached, wanted, len(views), decoded)
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
                    self._claims.settle(self._at_hand.key(draft.digest, view), draft.features[view])
        return drafts, awaited

    def _take_over(self, draft: _Draft, view: int, found: Halves | None) -> None:
        """Takes over a row that was made for the same content; makes it where that failed."""
        if found is not None:
            draft.features[view] = found
            return
        made = self._draft(draft.file, draft.digest, {}, [view], len(draft.features))
        if made.reason:
            draft.reason = made.reason
            return
        draft.features[view] = to_half(self._extractor().extract(np.stack([made.pending[view]])))[0]
        draft.pending |= made.pending

    def _draft(
        self,
        file: File,
        digest: bytes,
        cached: Mapping[int, Halves],
        wanted: Collection[int],
        num_views: int,
        decoded: Mapping[bytes, SquareAndWide | None] = MappingProxyType({}),
    ) -> _Draft:
        features = np.zeros((num_views, self._dimension), dtype=np.float16)
        try:
            pending = self._views.of_file(file.data, file.key, digest, wanted, decoded)
        except UnreadableImage as error:
            return _Draft(file=file, digest=digest, features=features, reason=error.reason, pending={})
        for view, row in cached.items():
            features[view] = row
        return _Draft(file=file, digest=digest, features=features, reason="", pending=pending)

    def _extractor(self) -> FeatureExtractor:
        """The calling thread's own."""
        found: FeatureExtractor | None = getattr(self._threads, "extractor", None)
        if found is None:
            found = self._threads.extractor = self._load_extractor()
        return found
