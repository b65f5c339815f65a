"""Intervals: against scipy and published examples, against the definitions, and against what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from mlsession.metrics.bootstrap import macro_intervals
from mlsession.metrics.intervals import (
    area_intervals,
    f1_intervals,
    gain_interval,
    loss_interval,
    num_commonest,
    wilson_interval,
    wilson_intervals,
)
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array


@given(correct=st.integers(0, 300), more=st.integers(0, 300))
def test_shares_are_scipys_wilson(correct: int, more: int) -> None:
    count = correct + more
    low, high = wilson_interval(correct, count)
    if not count:
        assert math.isnan(low)
        assert math.isnan(high)
        return
    expected = binomtest(correct, count).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low <= correct / count <= high
    assert (low == 0.0) == (correct == 0)
    assert (high == 1.0) == (more == 0)


def test_many_at_once_are_the_same() -> None:
    parts, wholes = np.array([0, 3, 7, 0]), np.array([4, 9, 7, 0])
    expected = [wilson_interval(part, whole) for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)]
    np.testing.assert_array_equal(wilson_intervals(parts, wholes), expected)


def test_f1_follows_from_the_share_of_either() -> None:
    low, high = f1_intervals(np.array([8]), np.array([10]))[0]
    ends = wilson_interval(8, 10)
    assert (low, high) == pytest.approx(tuple(2 * end / (1 + end) for end in ends))
    assert low < 2 * 8 / (2 * 8 + 2) < high


def test_a_gain_is_that_of_the_paired_table() -> None:
    # 24 right by the first alone, 9 by the second alone, of 100.
    low, high = gain_interval(24, 9, 100)
    gain, total = 15 / 102, 102
    reach = 1.959964 * math.sqrt((24.5 + 9.5) / total - gain**2) / math.sqrt(total)
    assert (low, high) == pytest.approx((gain - reach, gain + reach), abs=1e-6)
    assert gain_interval(0, 0, 1)[0] >= -1.0
    assert math.isnan(gain_interval(0, 0, 0)[0])
    assert gain_interval(0, 30, 30)[1] < 0


def test_a_gain_over_the_best_of_several_is_wider_above_alone() -> None:
    low, high = gain_interval(60, 2, 100)
    gain, reach = 58 / 102, high - 58 / 102
    assert gain_interval(60, 2, 100, candidates=5) == pytest.approx((low, gain + reach * 2.575829 / 1.959964), abs=1e-6)
    assert gain_interval(99, 0, 100, candidates=1000)[1] <= 1.0


@pytest.mark.parametrize(
    ("counts", "several"),
    [
        ([50], 1),
        ([50, 50], 2),
        ([60, 40], 1),  # 20 apart: chance makes 2 standard deviations of 10 at most.
        ([59, 41], 2),
        ([90, 5, 5], 1),
        ([24, 20, 18, 17, 21], 5),
        ([100, 0, 0], 1),
        ([0, 0], 2),
        ([], 1),
    ],
)
def test_which_classes_may_be_the_commonest(counts: list[int], several: int) -> None:
    assert num_commonest(np.array(counts, dtype=np.int64)) == several


@pytest.mark.parametrize(("classes", "count", "ratio"), [(5, 100, 1.0), (20, 400, 1.0), (5, 100, 1.3), (2, 50, 9.0)])
def test_a_gain_over_the_commonest_class_holds_what_is_true(classes: int, count: int, ratio: float) -> None:
    """Of a model that gets 95 of 100 images right, whatever their class: of equal classes the one that is commonest by
    chance hides some of its gain, and the interval for one class alone holds it 80 to 90 times of 100."""
    shares = np.geomspace(ratio, 1.0, classes)
    shares /= shares.sum()
    generator, held = keyed_generator(classes, "gain"), 0
    for _ in range(400):
        counts = generator.multinomial(count, shares)
        missed = generator.binomial(counts, 0.05)
        commonest = int(counts.argmax())
        better = int((counts - missed).sum() - (counts - missed)[commonest])
        low, high = gain_interval(better, int(missed[commonest]), count, num_commonest(counts))
        held += low <= 0.95 - shares[commonest] <= high
    assert held >= 0.93 * 400, held


def test_a_loss_has_two_images_of_each_kind_added() -> None:
    losses = np.array([0.1, 0.2, 0.05, 1.3, 0.4, 0.02, 0.3])
    added = np.concatenate([losses, [0.0, 0.0, 2 * math.log(3), 2 * math.log(3)]])
    reach = 1.959964 * added.std(ddof=1) / math.sqrt(len(added))
    found = loss_interval(float(losses.mean()), float(losses.std(ddof=1)), len(losses), 3)
    assert found == pytest.approx((max(added.mean() - reach, 0), added.mean() + reach), abs=1e-6)


def test_a_loss_interval_is_around_the_loss_and_takes_two() -> None:
    assert math.isnan(loss_interval(0.5, math.nan, 1, 3)[0])
    many = loss_interval(0.5, 0.2, 100_000, 10)
    assert many == pytest.approx((0.5 - 0.00124, 0.5 + 0.00124), abs=2e-4)
    for mean, count in ((9.0, 2), (9.0, 50), (0.0, 2), (1e-6, 300)):
        low, high = loss_interval(mean, 0.0, count, 10)
        assert 0 <= low <= mean <= high
        assert low < high


def test_a_hundred_images_without_a_mistake_do_not_rule_mistakes_out() -> None:
    """One mistake in a hundred, of a loss of ln 20, would be a mean of 0.03: 37 of 100 such samples do not have one."""
    assert loss_interval(0.001, 0.002, 100, 5)[1] > 0.03


def test_areas_are_newcombes() -> None:
    """The ends solve |A - found| = z SE(A), and hold what is true."""
    areas, ones, others = np.array([0.5, 0.8, 1.0, 0.0, math.nan]), np.array([20, 10, 8, 5, 0]), np.full(5, 30)
    ends = area_intervals(areas, ones, others)
    for area, m, n, (low, high) in zip(areas[:4], ones, others, ends, strict=False):
        assert low <= area <= high
        for end in (low, high):
            if 1e-9 < end < 1 - 1e-9:
                half = (m + n) / 2 - 1
                variance = end * (1 - end) * (1 + half * ((1 - end) / (2 - end) + end / (1 + end))) / (m * n)
                assert abs(end - area) == pytest.approx(1.959964 * math.sqrt(variance), abs=1e-6)
    assert (ends[2, 1], ends[3, 0]) == (1.0, 0.0)
    assert np.isnan(ends[4]).all()
    np.testing.assert_allclose(ends[0], 1 - ends[0, ::-1], atol=1e-9)


def test_areas_hold_what_is_true() -> None:
    generator = keyed_generator(0, "areas")
    true, held = 0.9214, 0  # Normal scores 2 apart: the normal distribution's share below 2 / sqrt(2).
    for _ in range(100):
        positive, negative = generator.normal(2.0, 1.0, 12), generator.normal(0.0, 1.0, 25)
        area = np.array([(positive[:, np.newaxis] > negative).mean()])
        low, high = area_intervals(area, np.array([12]), np.array([25]))[0]
        held += low <= true <= high
    assert held >= 90


def drawn(generator: np.random.Generator, shares: Array, count: int) -> Array:
    return generator.multinomial(count, shares.reshape(-1)).reshape(shares.shape).astype(np.int64)


@pytest.mark.parametrize(("classes", "count", "right"), [(2, 30, 0.97), (5, 50, 0.95), (10, 100, 0.7)])
def test_macro_figures_hold_what_is_true(classes: int, count: int, right: float) -> None:
    shares = np.full((classes, classes), (1 - right) / (classes - 1) / classes)
    np.fill_diagonal(shares, right / classes)
    generator, held = keyed_generator(classes, "macro"), np.zeros(2)
    for _ in range(100):
        found = macro_intervals(drawn(generator, shares, count))
        # Of such a matrix balanced accuracy and macro F1 are the accuracy.
        held += [low <= right <= high for low, high in (found.balanced_accuracy, found.f1_macro)]
    assert (held >= 86).all(), held


def test_classes_without_images_take_nothing_from_the_others() -> None:
    """Of five classes two have images, a tenth of which are taken for any other: the mean recall is that of the two."""
    shares = np.zeros((5, 5))
    shares[:2] = 0.1 / 4 / 2
    shares[0, 0] = shares[1, 1] = 0.45
    generator, held = keyed_generator(0, "absent classes"), 0
    for _ in range(200):
        low, high = macro_intervals(drawn(generator, shares, 30)).balanced_accuracy
        held += low <= 0.9 <= high
    assert held >= 180, held


def test_one_class_with_mistakes_has_an_interval_around_what_was_found() -> None:
    low, high = macro_intervals(np.array([[4, 1], [0, 0]], dtype=np.int64)).balanced_accuracy
    assert low < 0.5
    assert high > 0.95


def test_no_mistakes_are_no_certainty() -> None:
    found = macro_intervals(np.diag([5, 5, 5, 5]).astype(np.int64))
    for low, high in (found.balanced_accuracy, found.f1_macro):
        assert low < 0.9
        assert high == 1.0
    many = macro_intervals(np.diag([500] * 4).astype(np.int64))
    assert many.f1_macro[0] > 0.99


def test_images_of_one_class_alone_are_no_certainty() -> None:
    """As a test set of one class gives it: 5 of 5 right may be 57 % of more of them."""
    found = macro_intervals(np.array([[0, 0, 0], [0, 5, 0], [0, 0, 0]], dtype=np.int64))
    assert found.balanced_accuracy == wilson_interval(5, 5)
    assert found.f1_macro == pytest.approx(tuple(f1_intervals(np.array([5]), np.array([5]))[0]))
    assert found.balanced_accuracy[0] < 0.6


def test_the_same_matrix_has_the_same_intervals() -> None:
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]], dtype=np.int64)
    assert macro_intervals(matrix) == macro_intervals(matrix.copy())
    low, high = macro_intervals(matrix).balanced_accuracy
    assert low < 0.85 < high


@pytest.mark.parametrize("matrix", [[[0]], [[4]], [[0, 3], [2, 0]], [[0, 0], [0, 7]]])
def test_odd_matrices(matrix: list[list[int]]) -> None:
    found = macro_intervals(np.array(matrix, dtype=np.int64))
    for low, high in (found.balanced_accuracy, found.f1_macro):
        if np.sum(matrix):
            assert 0.0 <= low <= high <= 1.0
        else:
            assert math.isnan(low)


def test_a_thousand_classes_are_bounded() -> None:
    generator = keyed_generator(3, "many classes")
    truth = np.sort(generator.integers(0, 1000, 20_000))
    predicted = np.where(generator.random(20_000) < 0.8, truth, generator.integers(0, 1000, 20_000))
    matrix = np.bincount(truth * 1000 + predicted, minlength=1_000_000).reshape(1000, 1000)
    low, high = macro_intervals(matrix).f1_macro
    assert 0.77 < low < 0.79 < high < 0.81
