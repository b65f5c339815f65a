"""Randomness without state: every draw is a pure function of (seed, what, which).

A key is hashed to the 128-bit key of a counter-based generator (Philox; Salmon et al., "Parallel random numbers:
as easy as 1, 2, 3", SC 2011). Two different keys give independent streams, and the same key gives the same stream
in any process, thread or restart: so workers hold no state, and a cursor is enough to resume.
"""

from __future__ import annotations

import hashlib

import numpy as np


def key_digest(seed: int, *what: str | int) -> bytes:
    """The SHA-256 of an unambiguous encoding of (seed, what...)."""
    encoded = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *what))
    return hashlib.sha256(encoded.encode()).digest()


def keyed_generator(seed: int, *what: str | int) -> np.random.Generator:
    """A fresh generator for one purpose, for example `keyed_generator(seed, "order", epoch)`."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key_digest(seed, *what)[:16], "little")))
