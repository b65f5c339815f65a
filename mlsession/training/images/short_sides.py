"""How large the training images are, told by the headers of a few of their files.

What extracting decoded says it only of images that were decoded: the features of others came out of the cache, or were
taken over. So files are looked at once more, few enough to cost nothing, and the same ones wherever the features came
from.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from mlsession.data.index import ImageIndex
from mlsession.data.source import DataSource
from mlsession.errors import DamagedData, StoreError, UnreadableImage, UsageError
from mlsession.images.header import picture_size
from mlsession.store.reading import ReadPolicy
from mlsession.store.retrying import Backoff, Heed

MOST_FILES = 64
"""Evenly spread."""
LARGE_BYTES = 2**17
"""A file of more holds more than the pixels of a small picture and all that is usually said of one beside them: it is
not read."""
READERS = 8
PATIENCE = 10.0
"""Seconds, for a source that does not answer: it can be done without."""


def sampled_short_sides(index: ImageIndex, source: DataSource, heed: Heed | None = None) -> tuple[int | None, ...]:
    """Pixels of the shorter side of each image of a sample, None for one in a large file; () where they cannot be had.

    `index` is of `source`. Images that cannot be read are left out. `heed` is asked while a source does not answer;
    what it raises is raised.
    """
    rows = [place * len(index) // MOST_FILES for place in range(MOST_FILES)]
    chosen = list(range(len(index))) if len(index) <= MOST_FILES else rows
    policy = ReadPolicy(read_timeout=PATIENCE, backoff=Backoff(give_up_after=PATIENCE), heed=heed)
    try:
        with closing(source.reader(policy)) as reader, ThreadPoolExecutor(READERS) as readers:

            def side(row: int) -> int | None:
                if index.sizes[row] > LARGE_BYTES:
                    return None
                key = index.keys[row]
                try:
                    return min(picture_size(reader.read(key), key))
                except UnreadableImage:
                    return 0

            found = list(readers.map(side, chosen))
    except (UsageError, StoreError, DamagedData):
        return ()
    return tuple(each for each in found if each != 0)
