"""Images known by the tags of a listing: by those alone that are sums of what was read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pytest

from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.data.tags import TaggedImages, has_sums
from mlsession.store import MemorySpace, MemoryStore
from mlsession.store.stamps import NO_STAMP, STAMP_BYTES

FILES = {"a/1.jpg": b"one", "a/2.jpg": b"two", "b/1.jpg": b"one"}
URL = "s3://bucket/photos"


def sum_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def index_of(versions: Mapping[str, str]) -> ImageIndex:
    count = len(versions)
    return ImageIndex(
        keys=list(versions),
        labels=np.zeros(count, dtype=np.int32),
        classes=("a",),
        sizes=np.full(count, 3),
        versions=list(versions.values()),
        ignored=0,
    )


def tagged(versions: Mapping[str, str] | None = None, url: str = URL) -> TaggedImages:
    listed = {key: f'"{sum_of(data)}"' for key, data in FILES.items()}
    return TaggedImages(url, index_of(listed if versions is None else versions), FILES.__getitem__)


def test_what_was_read_is_known_by_place_and_content() -> None:
    images = tagged()
    stamps = images.stamps(list(FILES))
    assert {len(stamp) for stamp in stamps} == {STAMP_BYTES}
    assert len(set(stamps)) == 3, "the same bytes elsewhere are another image"
    assert [images.read_stamped(key) for key in FILES] == list(zip(FILES.values(), stamps, strict=True))
    assert tagged().stamps(["b/1.jpg"]) == stamps[2:]
    assert not set(tagged(url="s3://other/photos").stamps(list(FILES))) & set(stamps)
    assert tagged(url="s3://key:secret@bucket/photos").stamps(list(FILES)) == stamps, "whoever asks"


def test_a_value_that_is_not_the_one_listed_has_no_stamp() -> None:
    images = tagged({"a/1.jpg": sum_of(b"one before"), "a/2.jpg": sum_of(b"two")})
    assert images.stamps(["a/1.jpg"]) != [NO_STAMP]
    assert images.read_stamped("a/1.jpg") == (b"one", NO_STAMP)
    assert images.read_stamped("a/2.jpg")[1] == images.stamps(["a/2.jpg"])[0] != NO_STAMP


@pytest.mark.parametrize("tag", ["", '"abc"', '"d41d8cd98f00b204e9800998ecf8427e-2"', "0x8DC3F2A", "CJ2Vh7+hpIMDEAE="])
def test_tags_of_other_kinds_say_nothing(tag: str) -> None:
    index = index_of(dict.fromkeys(FILES, tag))
    assert not has_sums(index)
    images = TaggedImages(URL, index, FILES.__getitem__)
    assert images.stamps(list(FILES)) == [NO_STAMP] * 3
    assert images.read_stamped("a/1.jpg") == (b"one", NO_STAMP)


def test_what_is_not_listed_is_not_known() -> None:
    images = tagged({"a/2.jpg": sum_of(b"two")})
    assert images.stamps(["a/1.jpg", "b/1.jpg"]) == [NO_STAMP] * 2
    assert not has_sums(index_of({}))


def test_a_reader_asks_today_s_listing_alone() -> None:
    space = MemorySpace()
    index = index_of({key: sum_of(data) for key, data in FILES.items()})
    far, unnamed = (SourceReader(lambda: MemoryStore(space), None, url) for url in (URL, ""))
    assert isinstance(far.stamping(index), TaggedImages)
    assert far.stamping(None) is None
    assert far.stamping(index_of(dict.fromkeys(FILES, "7"))) is None
    assert unnamed.stamping(index) is None
    assert SourceReader(lambda: MemoryStore(space)).stamping(index) is None
