"""What a picture looks like in 64 bits: near copies differ in a few of them, other pictures in dozens.

The perceptual hash of C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section
3.2.1: the picture as 32x32 levels of grey, their discrete cosine transform (DCT-II), of its 64 lowest frequencies that
are not constant in a direction whether each lies above the median. Changed sizes, formats and qualities change few
bits; a mirrored, turned or cut picture is another one.

The coefficients themselves are kept too, in half precision: they tell near copies from pictures whose bits agree by
chance, which hashes of a million pictures do.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

SIDE = 32
"""Of the square that is hashed."""
FREQUENCIES = 8
"""In each direction."""
BITS = FREQUENCIES**2
LEAST_CONTRAST = 2.5
"""Levels of 255, as a standard deviation over the frequencies that are hashed: below, a picture shows nothing that
could be told from noise, and has no fingerprint. Of photos it is above 10."""


def fingerprint(grey: npt.NDArray[np.uint8]) -> tuple[int, npt.NDArray[np.float16]] | None:
    """The hash, of `BITS` bits, and the direction float16 [BITS] of the coefficients, of `grey` uint8 [SIDE, SIDE].

    None for a picture without contrast.
    """
    basis = _basis()
    coefficients = (basis @ grey.astype(np.float64) @ basis.T).ravel()
    length = float(np.sqrt(coefficients @ coefficients))
    if length < LEAST_CONTRAST * SIDE:  # The transform keeps squares: they sum to those of SIDE * SIDE levels.
        return None
    above = coefficients > np.median(coefficients)
    return int.from_bytes(np.packbits(above).tobytes(), "big"), (coefficients / length).astype(np.float16)


@cache
def _basis() -> npt.NDArray[np.float64]:
    """float64 [FREQUENCIES, SIDE]: the orthonormal cosines 1 to FREQUENCIES; the constant one is left out."""
    frequency, place = np.arange(1, FREQUENCIES + 1)[:, None], np.arange(SIDE)[None]
    return np.asarray(np.sqrt(2 / SIDE) * np.cos(np.pi * frequency * (2 * place + 1) / (2 * SIDE)))
