"""Images of far stores known without reading them: by the tags of a listing that are MD5 sums of what they stand for.

S3 and many servers that speak its protocol tag an object so that was written in one request, unless it is encrypted
with a key of one's own. Whether a tag is such a sum is found out once its object is read: no other one counts. A stamp
made of it is that of a place and a content together.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence

from mlsession.data.index import ImageIndex
from mlsession.store.location import redact
from mlsession.store.stamps import NO_STAMP, STAMP_BYTES

ASKED = 1000
"""Tags that say of what kind those of a listing are, evenly over all of them."""

_SUM = re.compile(r'"?([0-9a-f]{32})"?')


class TaggedImages:
    """The images of a listing of today; any number of threads may ask.

    Of today: an older one says what an object was, and the bytes of that would be taken for those of now.
    """

    def __init__(self, url: str, index: ImageIndex, read: Callable[[str], bytes]) -> None:
        """`url` is where they lie; `read` gives the bytes of a key."""
        self._place = redact(url)
        self._index = index
        self._read = read

    def stamps(self, keys: Sequence[str]) -> list[bytes]:
        """What images are known by, without a request; `NO_STAMP` for those whose tags are no sums."""
        return [self._stamp(key, self._sum_of(key)) for key in keys]

    def read_stamped(self, key: str) -> tuple[bytes, bytes]:
        """The bytes of an image, and the stamp that stands for them; `NO_STAMP` where the listing has other ones."""
        data, tag = self._read(key), self._sum_of(key)
        is_sum = tag != "" and hashlib.md5(data, usedforsecurity=False).hexdigest() == tag
        return data, self._stamp(key, tag) if is_sum else NO_STAMP

    def _sum_of(self, key: str) -> str:
        row = bisect_left(self._index.keys, key)
        is_there = row < len(self._index) and self._index.keys[row] == key
        found = _SUM.fullmatch(self._index.versions[row]) if is_there else None
        return "" if found is None else found[1]

    def _stamp(self, key: str, tag: str) -> bytes:
        if not tag:
            return NO_STAMP
        named = "\0".join((self._place, key, tag))
        return hashlib.blake2b(named.encode(), digest_size=STAMP_BYTES).digest()


def has_sums(index: ImageIndex) -> bool:
    """Whether any of a thousand tags of a listing may be a sum: the first object may have been written in parts."""
    rows = range(0, len(index), max(len(index) // ASKED, 1))
    return any(_SUM.fullmatch(index.versions[row]) is not None for row in rows)
