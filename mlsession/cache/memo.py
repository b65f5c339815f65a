"""What files are known to hold: the SHA-256 of the bytes of each, by its stamp (see `mlsession.store.stamps`).

    features/memo/<sha256>      stamps and digests of files that were read

So a second session need not read an image to find its features. Such a file is named by its own hash, like a pack, and
holds at most `MOST_FACTS` entries of 48 bytes, ascending by stamp: `stamp` uint8 [n, 16] before `digest` uint8 [n, 32],
as safetensors.

They are used as they were read: what many of them say is looked for in one after the other, and never put together in
memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.cache.packs import DIGEST_BYTES, MEMOS, Digests
from mlsession.session.log.members import as_count, as_list
from mlsession.store.stamps import STAMP_BYTES

MOST_FACTS = 2**21
"""The most entries that a memo may have, 100 MB."""
FACTS_OF_A_FILE = 2**16
"""The most that are written together, 3 MB: what works on one file needs little memory."""
_FACT_BYTES = STAMP_BYTES + DIGEST_BYTES
_HEADER_BYTES = 504
FRONT_BYTES = 8 + _HEADER_BYTES
"""The first bytes of a memo, which say how many entries it has."""
MEMO_BYTES = FRONT_BYTES + _FACT_BYTES * MOST_FACTS
"""A memo is not longer."""

Stamps = npt.NDArray[np.uint8]
"""uint8 [n, 16]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facts:
    """Which stamp stands for which bytes; each stamp once, ascending by their first eight bytes. A value."""

    stamps: Stamps
    digests: Digests
    starts: npt.NDArray[np.uint64]
    """[n]: the first eight bytes of each stamp, as numbers."""

    @classmethod
    def of(cls, stamps: Stamps, digests: Digests) -> Facts:
        """Of any stamps uint8 [n, 16] and digests uint8 [n, 32] in any order.

        Those that contradict each other go, all of them: then nothing is known. So do two stamps that begin alike,
        which of a million happen once in 30 million times.
        """
        starts = _starts(stamps)
        if not (starts[1:] > starts[:-1]).all():
            order = np.argsort(starts, kind="stable")
            starts, stamps, digests = starts[order], stamps[order], digests[order]
            first = np.ones(len(starts), dtype=np.bool_)
            first[1:] = starts[1:] != starts[:-1]
            whose = np.flatnonzero(first)[np.cumsum(first) - 1]
            differs = (stamps != stamps[whose]).any(axis=1) | (digests != digests[whose]).any(axis=1)
            first[whose[differs]] = False
            starts, stamps, digests = starts[first], stamps[first], digests[first]
        return cls(stamps=stamps, digests=digests, starts=starts)

    @classmethod
    def none(cls) -> Facts:
        """Nothing."""
        return cls.of(np.zeros((0, STAMP_BYTES), dtype=np.uint8), np.zeros((0, DIGEST_BYTES), dtype=np.uint8))

    @classmethod
    def all_of(cls, parts: Sequence[Facts]) -> Facts | None:
        """What several say together; None where two of them contradict each other.

        Then both must stay: without a word from either, what a third one says would be believed.
        """
        stamps, digests = (np.concatenate(each) for each in zip(*((p.stamps, p.digests) for p in parts), strict=True))
        found = cls.of(stamps, digests)
        return found if len(found) == len(np.unique(_starts(stamps))) else None

    def __len__(self) -> int:
        return len(self.starts)

    def find(self, stamps: Stamps) -> npt.NDArray[np.int64]:
        """int64 [n]: where each of the stamps, uint8 [n, 16], is; -1 for those not known."""
        if not len(self) or not len(stamps):
            return np.full(len(stamps), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.starts, _starts(stamps)), len(self) - 1)
        return np.where((self.stamps[places] == stamps).all(axis=1), places, -1)

    def only(self, chosen: npt.NDArray[np.bool_]) -> Facts:
        """Those chosen, bool [n]."""
        return Facts(stamps=self.stamps[chosen], digests=self.digests[chosen], starts=self.starts[chosen])

    def part(self, start: int, stop: int) -> Facts:
        """Those from `start` to `stop`, exclusive."""
        some = slice(start, stop)
        return Facts(stamps=self.stamps[some], digests=self.digests[some], starts=self.starts[some])

    def without(self, others: Sequence[Facts]) -> Facts:
        """Those that others do not say, too."""
        whose, digests = find_in(others, self.stamps)
        return self.only((whose < 0) | (digests != self.digests).any(axis=1))


def find_in(parts: Sequence[Facts], stamps: Stamps) -> tuple[npt.NDArray[np.int64], Digests]:
    """Which of the parts says what each of n stamps stands for, int64 [n], and that, uint8 [n, 32].

    -1 where none does, or where two contradict each other.
    """
    whose = np.full(len(stamps), -1, dtype=np.int64)
    digests, doubtful = np.zeros((len(stamps), DIGEST_BYTES), dtype=np.uint8), np.zeros(len(stamps), dtype=np.bool_)
    for number, part in enumerate(parts):
        places = part.find(stamps)
        said = np.flatnonzero(places >= 0)
        found, known = part.digests[places[said]], whose[said] >= 0
        doubtful[said[known]] |= (found[known] != digests[said[known]]).any(axis=1)
        whose[said[~known]], digests[said[~known]] = number, found[~known]
    whose[doubtful] = -1
    return whose, digests


def stamp_matrix(stamps: Sequence[bytes]) -> Stamps:
    """uint8 [n, 16] of n stamps."""
    return np.frombuffer(b"".join(stamps), dtype=np.uint8).reshape(len(stamps), STAMP_BYTES)


def facts_from(known: Mapping[bytes, bytes]) -> Facts:
    """What is known by stamp, 16 bytes: a digest, 32 bytes."""
    stamps, digests = (np.frombuffer(b"".join(part), dtype=np.uint8) for part in (known.keys(), known.values()))
    return Facts.of(stamps.reshape(-1, STAMP_BYTES), digests.reshape(-1, DIGEST_BYTES))


def encode_memo(facts: Facts) -> tuple[str, bytes]:
    """Key and bytes of the file that says this."""
    count = len(facts)
    between = STAMP_BYTES * count
    header = json.dumps(
        {
            "stamp": {"dtype": "U8", "shape": [count, STAMP_BYTES], "data_offsets": [0, between]},
            "digest": {"dtype": "U8", "shape": [count, DIGEST_BYTES], "data_offsets": [between, _FACT_BYTES * count]},
        },
        separators=(",", ":"),
    ).encode()
    header += b" " * (-len(header) % 8)
    data = b"".join((len(header).to_bytes(8, "little"), header, facts.stamps.tobytes(), facts.digests.tobytes()))
    return f"{MEMOS}{hashlib.sha256(data).hexdigest()}", data


def count_in(front: bytes, size: int) -> int | None:
    """How many entries a memo of `size` bytes has, by its first `FRONT_BYTES`; None if it is of another form."""
    length = int.from_bytes(front[:8], "little")
    if length > _HEADER_BYTES:
        return None
    try:
        header = json.loads(front[8 : 8 + length])
        shapes = [[as_count(size) for size in as_list(header[name]["shape"])] for name in ("stamp", "digest")]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    count = shapes[0][0] if shapes[0] else 0
    fits = shapes == [[count, STAMP_BYTES], [count, DIGEST_BYTES]] and size == 8 + length + _FACT_BYTES * count
    return count if fits else None


def read_memo(data: bytes, key: str) -> Facts | None:
    """What a memo says; None if its bytes are not those that its name promises, or of another form."""
    count = count_in(data[:FRONT_BYTES], len(data))
    if count is None or hashlib.sha256(data).hexdigest() != key.removeprefix(MEMOS):
        return None
    facts = np.frombuffer(data, dtype=np.uint8, offset=len(data) - _FACT_BYTES * count)
    stamps, digests = facts[: STAMP_BYTES * count], facts[STAMP_BYTES * count :]
    return Facts.of(stamps.reshape(count, STAMP_BYTES), digests.reshape(count, DIGEST_BYTES))


def _starts(stamps: Stamps) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(stamps[:, :8]).view(">u8")[:, 0].astype(np.uint64)
