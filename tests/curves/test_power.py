"""Fits of the power law: laws are found again, and nothing leaves its bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.curves.power import EXPONENTS, fit_laws, fit_with_exponents
from mlsession.randomness import keyed_generator

IMAGES = np.array([40.0, 57.0, 80.0, 113.0, 160.0])


@settings(max_examples=25, deadline=None)
@given(
    floor=st.floats(0, 0.5),
    rise=st.floats(0, 0.5),
    exponent=st.sampled_from(EXPONENTS),
    weights=st.lists(st.floats(0.1, 10), min_size=5, max_size=5),
)
def test_a_law_is_found_again(floor: float, rise: float, exponent: float, weights: list[float]) -> None:
    errors = floor + rise * (IMAGES / 160) ** -exponent
    laws = fit_laws(IMAGES, errors[np.newaxis], np.array(weights))
    assert laws.errors(IMAGES)[0] == pytest.approx(errors, abs=1e-9)
    if rise > 0.01:
        farther = np.array([320.0, 640.0])
        assert laws.errors(farther)[0] == pytest.approx(floor + rise * (farther / 160) ** -exponent, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(errors=st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=4))
def test_whatever_was_measured_the_error_falls_and_stays_above_0(errors: list[list[float]]) -> None:
    found = fit_laws(IMAGES, np.array(errors), np.ones(5))
    farther = found.errors(np.array([160.0, 200.0, 320.0, 640.0]))
    assert np.isfinite(farther).all()
    assert (farther >= 0).all()
    assert (np.diff(farther, axis=1) <= 1e-12).all()
    # Each curve by itself gives the same law.
    for place, each in enumerate(errors):
        alone = fit_laws(IMAGES, np.array([each]), np.ones(5))
        assert alone.errors(IMAGES)[0] == pytest.approx(found.errors(IMAGES)[place], abs=1e-12)


def test_no_other_law_is_nearer() -> None:
    """Against a search through all pairs of floor and rise, where the bounds hold and where they do not."""
    generator = keyed_generator(0, "curves")
    grid = np.linspace(0, 0.6, 61)
    for _ in range(5):
        errors, weights = generator.random(5) * 0.3, generator.random(5) + 0.1
        found = fit_laws(IMAGES, errors[np.newaxis], weights)
        residue = (weights * (found.errors(IMAGES)[0] - errors) ** 2).sum()
        for exponent in EXPONENTS[::12]:
            shrunk = (IMAGES / 160) ** -exponent
            tried = grid[:, None, None] + grid[None, :, None] * shrunk
            assert residue <= (weights * (tried - errors) ** 2).sum(axis=2).min() + 1e-12
        known = fit_with_exponents(IMAGES, errors[np.newaxis], weights, found.exponent)
        assert known.errors(IMAGES)[0] == pytest.approx(found.errors(IMAGES)[0], abs=1e-12)


def test_a_flat_curve_stays_flat() -> None:
    laws = fit_laws(IMAGES, np.full((1, 5), 0.2), np.ones(5))
    assert laws.errors(np.array([640.0]))[0] == pytest.approx(0.2)
    rising = fit_laws(IMAGES, np.linspace(0.1, 0.2, 5)[np.newaxis], np.ones(5))
    assert rising.rise[0] == 0, "more images are never expected to harm"
