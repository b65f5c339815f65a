"""An inverse power law of the error by the number of images; numpy alone.

    error(n) = floor + rise * (n / unit) ** -exponent        floor, rise >= 0

Sources: Figueroa et al., "Predicting sample size required for classification performance", BMC Medical Informatics and
Decision Making 12 (2012), which fits it with weights; Mahmood et al., "How Much More Data Do I Need?", CVPR 2022, which
shows how far such fits go astray where little has been measured. So exponents are kept within `EXPONENTS`, fits are
made to many resampled curves at once, and nothing is said beyond `FARTHEST` times the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EXPONENTS: tuple[float, ...] = tuple(float(c) for c in np.geomspace(0.05, 2.0, 60))
"""From next to flat to what a mean of 1 / n ** 2 would fall by; the best of these is taken."""
FARTHEST = 4.0
"""Times the images that were measured on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerLaws:
    """B laws."""

    floor: Floats
    """[B]."""
    rise: Floats
    """[B]: above the floor at `unit`."""
    exponent: Floats
    """[B]."""
    unit: float
    """Images at which the rise counts."""

    def errors(self, images: Floats) -> Floats:
        """[B, n] of numbers of images [n]."""
        shrunk = (images[np.newaxis] / self.unit) ** -self.exponent[:, np.newaxis]
        return self.floor[:, np.newaxis] + self.rise[:, np.newaxis] * shrunk


def fit_laws(images: Floats, errors: Floats, weights: Floats) -> PowerLaws:
    """The law of least weighted squares for each of B curves: errors [B, S] at numbers of images [S], weights [S].

    For one exponent the law is linear in floor and rise, and the best pair that is nowhere negative has a closed form;
    so all of `EXPONENTS` are tried. Of equally good ones the smallest counts.
    """
    best = np.full(len(errors), np.inf)
    floor, rise, exponent = (np.zeros(len(errors)) for _ in range(3))
    for tried in EXPONENTS:
        shrunk = _shrunk(images, tried)
        level, slope = _linear(shrunk, errors, weights)
        residue = (weights * (errors - level[:, np.newaxis] - slope[:, np.newaxis] * shrunk) ** 2).sum(1)
        better = residue < best
        best = np.where(better, residue, best)
        floor, rise = np.where(better, level, floor), np.where(better, slope, rise)
        exponent = np.where(better, tried, exponent)
    return PowerLaws(floor=floor, rise=rise, exponent=exponent, unit=float(images[-1]))


def fit_with_exponents(images: Floats, errors: Floats, weights: Floats, exponent: Floats) -> PowerLaws:
    """The same for curves [B, S] whose exponents [B] are known: those of a whole, for one of its classes."""
    floor, rise = np.zeros(len(errors)), np.zeros(len(errors))
    for known in np.unique(exponent).tolist():
        mine = exponent == known
        floor[mine], rise[mine] = _linear(_shrunk(images, known), errors[mine], weights)
    return PowerLaws(floor=floor, rise=rise, exponent=exponent, unit=float(images[-1]))


def _shrunk(images: Floats, exponent: float) -> Floats:
    shrunk: Floats = (images / images[-1]) ** -exponent
    return shrunk


def _linear(shrunk: Floats, errors: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Floor and rise, [B] each, of least weighted squares with neither below 0."""
    total = weights.sum()
    centre, middle = (weights * shrunk).sum() / total, (errors * weights).sum(1) / total
    away = shrunk - centre
    rise = np.maximum((errors * (weights * away)).sum(1) / (weights * away**2).sum(), 0.0)
    floor = middle - rise * centre
    # A floor below 0 gives way to none: then the line through the origin is best.
    steepest = (errors * (weights * shrunk)).sum(1) / (weights * shrunk**2).sum()
    rise = np.where(floor < 0, steepest, rise)
    return np.maximum(floor, 0.0), rise
