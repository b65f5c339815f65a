"""Features as half-precision numbers: what is stored, trained on and predicted from is the same to the bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Halves = npt.NDArray[np.float16]

_LARGEST = float(np.finfo(np.float16).max)


def to_half(rows: npt.NDArray[np.float32]) -> Halves:
    """float16 [n, D] of float32 [n, D], rounded to the nearest even; what is larger than float16 can hold is 65504.

    Rounding moves a feature by at most 2**-11 of itself, a tenth of what bfloat16 arithmetic in the network does, and
    halves what is stored, sent and read. Infinite values stay infinite, and what is not a number stays so: a head
    refuses them.
    """
    finite = np.isfinite(rows)
    bounded = np.where(finite, np.clip(rows, -_LARGEST, _LARGEST), rows)
    with np.errstate(over="ignore"):
        return bounded.astype(np.float16)
