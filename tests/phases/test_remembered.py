"""Images known by stamps: whole batches of either source, and only what was read and can be read is remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest

from mlsession.cache.handle import Handle
from mlsession.cache.remembering import Memory
from mlsession.cache.trial import Trial
from mlsession.errors import KeyMissing, ModifiedTrainingData
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.featured import Picture
from mlsession.phases.listed import SomeImages
from mlsession.phases.remembered import Remembered, remember
from mlsession.store import MemorySpace, MemoryStore
from mlsession.store.stamps import NO_STAMP

KEYS = ("a/1", "a/2", "b/3")


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class Disk:
    """Files that hold their own names, and that are known by them; `new` were changed just now."""

    def __init__(self, *new: str) -> None:
        self.new = new
        self.asked: list[str] = []

    def stamps(self, keys: Sequence[str]) -> list[bytes]:
        self.asked += keys
        return [self._stamp(key) for key in keys]

    def read_stamped(self, key: str) -> tuple[bytes, bytes]:
        if key == "missing":
            raise KeyMissing("there is no such file", key)
        return key.encode(), self._stamp(key)

    def _stamp(self, key: str) -> bytes:
        return NO_STAMP if key in self.new else sha256(f"stamp of {key}")[:16]


def part(keys: Sequence[str], disk: Disk | None) -> Part:
    return Part(keys=keys, labels=np.zeros(len(keys), dtype=np.int64), read=str.encode, stamping=disk)


def memory(space: MemorySpace) -> Memory:
    return Memory(Handle(lambda: MemoryStore(space)), Trial(lambda reason: None))


def read_all(space: MemorySpace, disk: Disk, unreadable: Sequence[str] = ()) -> None:
    """A run that reads every file."""
    run = memory(space)
    remembered = Remembered(run, part(KEYS, disk))
    for row, key in enumerate(KEYS):
        assert remembered.read(row) == key.encode()
        reason = "no picture" if key in unreadable else ""
        stamp, features = remembered.taken(row), np.zeros((1, 2), np.float16)
        assert remembered.taken(row) == NO_STAMP, "it is given once"
        picture = Picture(row=row, digest=sha256(key), features=features, reason=reason, stamp=stamp)
        remember(run, [picture])
    run.finish(lambda size: True)


def known(space: MemorySpace, rows: range, disk: Disk) -> list[bytes] | None:
    return Remembered(memory(space), part(KEYS, disk)).digests(rows)


def test_what_was_read_is_known_by_batches() -> None:
    space = MemorySpace()
    assert known(space, range(3), disk := Disk()) is None
    assert disk.asked == [], "where nothing is known no file is looked at"
    read_all(space, Disk())
    assert known(space, range(3), Disk()) == [sha256(key) for key in KEYS]
    assert known(space, range(1, 2), Disk()) == [sha256("a/2")]
    assert known(space, range(3), Disk("b/3")) is None
    assert known(space, range(2), Disk("b/3")) == [sha256("a/1"), sha256("a/2")]


def test_what_was_changed_just_now_or_cannot_be_read_is_not_remembered() -> None:
    space = MemorySpace()
    read_all(space, Disk("a/1"), unreadable=["b/3"])
    assert [known(space, range(row, row + 1), Disk()) for row in range(3)] == [None, [sha256("a/2")], None]


def test_both_sources_of_a_corpus_have_their_own_stamps() -> None:
    first, second = Disk(), Disk()
    corpus = Corpus(classes=("a", "b"), training=part(KEYS[:2], first), validation=part(KEYS[2:], second))
    assert corpus.stamps_of(range(3)) == Disk().stamps(KEYS)
    assert (first.asked, second.asked) == (["a/1", "a/2"], ["b/3"])
    assert corpus.stamps_of(range(1, 2)) == Disk().stamps(["a/2"])
    assert corpus.stamps_of([0, 2]) == Disk().stamps(["a/1", "b/3"])
    assert corpus.stamped(2) == (b"b/3", Disk().stamps(["b/3"])[0])
    alone = Corpus(classes=("a", "b"), training=part(KEYS, None))
    assert alone.stamps_of(range(3)) == [NO_STAMP] * 3
    assert alone.stamped(1) == (b"a/2", NO_STAMP)


def test_some_images_have_the_stamps_of_their_places() -> None:
    some = SomeImages(images=part(KEYS, Disk()), rows=[0, 2])
    assert (some.key(1), some.bytes_of(1)) == ("b/3", b"b/3")
    assert some.stamps_of(range(2)) == Disk().stamps(["a/1", "b/3"])
    assert some.stamped(1) == (b"b/3", Disk().stamps(["b/3"])[0])


def test_a_file_that_is_gone_is_a_change_of_the_data() -> None:
    with pytest.raises(ModifiedTrainingData, match="missing"):
        part(["missing"], Disk()).stamped(0)
