"""What a session keeps beside its log about the images it works on, and what follows from it.

A session is made with an index of its images. Later openings may carry more, under these names:

    training_index, validation_index    the images of today, where the caller took changed data on
    split_sides                         which side of the split each content was on before the data changed
    donor                               an extraction whose features are to be taken over
    test_index                          the test set of that attempt

All but the last are carried on from opening to opening.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from mlsession.errors import DamagedData
from mlsession.session.donor import DONOR
from mlsession.session.log.blobs import decode_arrays, encode_arrays, read_blob
from mlsession.session.log.records import BlobRef
from mlsession.store.protocol import Store

TRAINING_INDEX = "training_index"
VALIDATION_INDEX = "validation_index"
TEST_INDEX = "test_index"
SPLIT_SIDES = "split_sides"
CARRIED = (TRAINING_INDEX, VALIDATION_INDEX, SPLIT_SIDES, DONOR)
"""What an opening repeats of the one before it."""


def images_digest(attachments: Mapping[str, BlobRef]) -> str:
    """Names the images that an opening works on by their indexes; "" for those that the session was made with.

    Another digest makes extracting, and with it all else, start over.
    """
    chosen = [attachments[name].sha256 for name in (TRAINING_INDEX, VALIDATION_INDEX) if name in attachments]
    return hashlib.sha256(":".join(chosen).encode()).hexdigest() if chosen else ""


def encode_sides(sides: Mapping[bytes, bool]) -> bytes:
    """The stored form of which contents (SHA-256) are held out: `digest` uint8 [n, 32], `held_out` uint8 [n]."""
    contents = sorted(sides)
    digests = np.frombuffer(b"".join(contents), dtype=np.uint8).reshape(len(contents), 32)
    return encode_arrays({"digest": digests, "held_out": np.array([sides[each] for each in contents], dtype=np.uint8)})


def decode_sides(data: bytes) -> dict[bytes, bool]:
    """Reads `encode_sides` back. Raises `DamagedData`."""
    arrays = decode_arrays(data, SPLIT_SIDES)
    digests, sides = arrays.get("digest", np.empty(0)), arrays.get("held_out", np.empty(0))
    if digests.dtype != np.uint8 or digests.shape[1:] != (32,) or sides.shape != (len(digests),):
        raise DamagedData(SPLIT_SIDES, "it does not hold digests and sides")
    return {digest.tobytes(): bool(side) for digest, side in zip(digests, sides, strict=True)}


def attached_sides(store: Store, attachments: Mapping[str, BlobRef]) -> Mapping[bytes, bool]:
    """Which contents an opening says are held out; empty where it says nothing. Raises `DamagedData`."""
    return decode_sides(read_blob(store, attachments[SPLIT_SIDES])) if SPLIT_SIDES in attachments else {}
