"""What a session keeps beside its log about the images it works on, and what follows from it.

A session is made with an index of its images. Later openings may carry more, under these names:

    training_index, validation_index    the images of today, where the caller took changed data on
    split_sides                         which side of the split each content was on before the data changed
    donor                               an extraction whose features are to be taken over
    test_index                          the test set of that attempt
    training_corrections, ...           what that attempt's caller corrected of what the images of an index are labelled

All but the last two are carried on from opening to opening.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import DIGEST_BYTES, DigestMap
from mlsession.errors import DamagedData
from mlsession.session.donor import DONOR
from mlsession.session.log.blobs import decode_arrays, encode_arrays, read_blob
from mlsession.session.log.records import BlobRef
from mlsession.session.phase import Array
from mlsession.store.protocol import Store

TRAINING_INDEX = "training_index"
VALIDATION_INDEX = "validation_index"
TEST_INDEX = "test_index"
SPLIT_SIDES = "split_sides"
CORRECTIONS: Mapping[str, str] = MappingProxyType(
    {
        TRAINING_INDEX: "training_corrections",
        VALIDATION_INDEX: "validation_corrections",
        TEST_INDEX: "test_corrections",
    }
)
"""By index: its images are labelled as the data say, and then as these."""
CARRIED = (TRAINING_INDEX, VALIDATION_INDEX, SPLIT_SIDES, DONOR)
"""What an opening repeats of the one before it."""


def images_digest(attachments: Mapping[str, BlobRef]) -> str:
    """Names the images that an opening works on by their indexes; "" for those that the session was made with.

    Another digest makes extracting, and with it all else, start over.
    """
    chosen = [attachments[name].sha256 for name in (TRAINING_INDEX, VALIDATION_INDEX) if name in attachments]
    return hashlib.sha256(":".join(chosen).encode()).hexdigest() if chosen else ""


def encode_sides(sides: DigestMap) -> bytes:
    """The stored form of which contents (SHA-256) are held out: `digest` uint8 [n, 32], `held_out` uint8 [n]."""
    return encode_arrays({"digest": sides.digests, "held_out": (sides.numbers != 0).astype(np.uint8)})


def decode_sides(data: bytes) -> DigestMap:
    """Reads `encode_sides` back: 1 for each content that is held out, 0 for the others. Raises `DamagedData`."""
    arrays = decode_arrays(data, SPLIT_SIDES)
    digests, sides = arrays.get("digest", np.empty(0)), arrays.get("held_out", np.empty(0))
    if digests.dtype != np.uint8 or digests.shape[1:] != (DIGEST_BYTES,) or sides.shape != (len(digests),):
        raise DamagedData(SPLIT_SIDES, "it does not hold digests and sides")
    return sides_of(digests, sides)


def sides_of(digests: npt.NDArray[np.uint8], held_out: Array) -> DigestMap:
    """Of contents uint8 [n, 32] whether they are held out, [n], zero for not; of equal ones the first counts."""
    return DigestMap(digests, (held_out != 0).astype(np.int64))


def merged_sides(first: DigestMap, second: DigestMap) -> DigestMap:
    """What either says; where both do, the first."""
    digests = np.concatenate([first.digests, second.digests])
    return sides_of(digests, np.concatenate([first.numbers, second.numbers]))


def attached_sides(store: Store, attachments: Mapping[str, BlobRef]) -> DigestMap:
    """Which contents an opening says are held out; empty where it says nothing. Raises `DamagedData`."""
    if SPLIT_SIDES not in attachments:
        return no_sides()
    return decode_sides(read_blob(store, attachments[SPLIT_SIDES]))


def no_sides() -> DigestMap:
    """Of no content."""
    return DigestMap(np.empty((0, DIGEST_BYTES), dtype=np.uint8))
