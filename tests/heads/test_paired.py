"""The paired difference: its figures are those of numpy, its rule is the one that is stated, and noise seldom wins."""

from __future__ import annotations

from math import isclose

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InvalidParameter
from mlsession.heads.comparison import Comparison, Rating
from mlsession.heads.paired import PairedDifference, paired_difference
from mlsession.randomness import keyed_generator

answers = st.integers(2, 40).flatmap(
    lambda count: st.tuples(*[st.lists(st.booleans(), min_size=count, max_size=count)] * 2)
)


def arrays(pair: tuple[list[bool], ...]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    first, second = (np.array(each, dtype=np.bool_) for each in pair)
    return first, second


@settings(max_examples=50, deadline=None)
@given(pair=answers)
def test_it_is_the_mean_of_the_differences_and_the_standard_error_of_that_mean(pair: tuple[list[bool], ...]) -> None:
    first, second = arrays(pair)
    found, apart = paired_difference(first, second), second.astype(float) - first
    error = apart.std(ddof=1) / np.sqrt(len(apart))
    assert found.difference == pytest.approx(apart.mean(), abs=1e-12)
    assert found.standard_error == pytest.approx(error, abs=1e-9)
    if not isclose(apart.mean(), error, abs_tol=1e-9):
        assert found.is_better == (apart.mean() > error)


@settings(max_examples=50, deadline=None)
@given(pair=answers)
def test_the_other_way_round_it_is_the_same_with_another_sign(pair: tuple[list[bool], ...]) -> None:
    one, other = paired_difference(*arrays(pair)), paired_difference(*reversed(arrays(pair)))
    assert (one.difference, one.standard_error) == (-other.difference, other.standard_error)
    assert not (one.is_better and other.is_better)
    assert one.is_better <= (one.difference > 0)
    assert PairedDifference.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("gained", "lost", "is_better"),
    [(0, 0, False), (7, 7, False), (1, 0, False), (2, 0, True), (3, 1, False), (4, 1, True), (0, 9, False)],
)
@pytest.mark.parametrize("judged", [20, 1_000_003])
def test_neither_a_tie_nor_one_image_is_enough(gained: int, lost: int, is_better: bool, judged: int) -> None:
    """Where difference and standard error are the same, as of 1 and 0, or 3 and 1, no rounding may decide."""
    assert PairedDifference(judged=judged, gained=gained, lost=lost).is_better == is_better


def test_of_two_that_are_equally_good_the_second_seldom_wins() -> None:
    generator, won = keyed_generator(0, "noise"), 0
    for _ in range(1000):
        both, first, second = generator.random((3, 400)) < [[0.8], [0.5], [0.5]]
        won += paired_difference(both | first, both | second).is_better
    assert 80 <= won <= 200  # 159 of a normal distribution.


@pytest.mark.parametrize(("judged", "gained", "lost"), [(0, 0, 0), (1, 1, 0), (5, 3, 3), (5, -1, 1)])
def test_it_takes_two_images_and_counts_that_fit(judged: int, gained: int, lost: int) -> None:
    with pytest.raises(InvalidParameter, match="judged"):
        PairedDifference(judged=judged, gained=gained, lost=lost)


def test_it_is_of_the_same_images() -> None:
    with pytest.raises(InvalidParameter, match="same images"):
        paired_difference(np.ones(3, dtype=np.bool_), np.ones(4, dtype=np.bool_))


@pytest.mark.parametrize(
    ("gained", "lost", "kept", "reason"),
    [
        (6, 1, "b", "b is 5.00 points better than a, more than the standard error of 2.61"),
        (3, 2, "a", "b is 1.00 points better than a, no more than the standard error of 2.25"),
        (2, 2, "a", "b is no better than a"),
        (1, 6, "a", "b is 5.00 points worse than a"),
    ],
)
def test_a_comparison_says_what_it_keeps_and_why(gained: int, lost: int, kept: str, reason: str) -> None:
    first, second = (Rating(kind=kind, accuracy=0.5, log_loss=1.0) for kind in "ab")
    difference = PairedDifference(judged=100, gained=gained, lost=lost)
    found = Comparison(first=first, second=second, difference=difference)
    assert (found.kept.kind, found.reason) == (kept, reason)
    assert Comparison.from_json(found.to_json()) == found
