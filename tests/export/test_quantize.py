from __future__ import annotations

import numpy as np
import pytest

from mlsession.coreml.blobs import unpacked
from mlsession.export.fewer_bits import packed
from mlsession.export.quantize import Floats, by_channel, palette
from mlsession.randomness import keyed_generator

WEIGHTS = (
    keyed_generator(0, "weights").normal(size=(5, 40, 3)) * np.array([1, 0.01, 30, 0, 1e-30]).reshape(5, 1, 1)
).astype(np.float32)


def squared(values: Floats, table: Floats) -> float:
    """What replacing each value by its nearest entry costs: the sum of squares."""
    return float((np.abs(values.reshape(-1, 1).astype(np.float64) - table).min(axis=1) ** 2).sum())


def test_a_channel_moves_by_half_a_step_of_its_own_at_most() -> None:
    whole, scale, bias = by_channel(WEIGHTS)
    assert whole.dtype == np.uint8
    assert (whole.shape, scale.shape, bias.shape) == (WEIGHTS.shape, (5,), (5,))
    again = scale.reshape(5, 1, 1) * whole + bias.reshape(5, 1, 1)
    assert (np.abs(again - WEIGHTS) <= 0.501 * scale.reshape(5, 1, 1)).all()
    assert (np.abs(again - WEIGHTS).max(axis=(1, 2)) > 0.4 * scale)[[0, 1, 2]].all()


def test_zero_and_the_largest_of_a_channel_are_kept() -> None:
    rows = np.array([[0.0, -2.0, 1.0], [0.0, 0.5, 0.0]], np.float32)
    whole, scale, bias = by_channel(rows)
    again = scale[:, None] * whole + bias[:, None]
    assert again[:, 0].tolist() == [0.0, 0.0]
    np.testing.assert_allclose([again[0, 1], again[1, 1]], [-2.0, 0.5], rtol=1e-6)


@pytest.mark.parametrize("bits", [1, 4, 6, 8])
def test_every_weight_gets_its_nearest_entry(bits: int) -> None:
    values = WEIGHTS[0]
    table, places = palette(values, bits)
    assert table.dtype == np.float32
    assert places.dtype == np.uint8
    assert (table.shape, places.shape) == ((2**bits,), values.shape)
    assert (np.diff(table) >= 0).all()
    found = float(((table[places].astype(np.float64) - values) ** 2).sum())
    assert found == pytest.approx(squared(values, table), rel=1e-6)


def least(values: Floats, size: int) -> float:
    """The smallest sum of squares that any table of `size` entries has, by dynamic programming over sorted values."""
    ordered = np.sort(values.reshape(-1).astype(np.float64))
    first, second = (np.concatenate([[0], np.cumsum(ordered**power)]) for power in (1, 2))
    starts, ends = np.arange(len(ordered) + 1)[:, None], np.arange(len(ordered) + 1)
    held = np.maximum(ends - starts, 1)
    cost = np.where(ends >= starts, second - second[:, None] - (first - first[:, None]) ** 2 / held, np.inf)
    best = cost[0]
    for _ in range(size - 1):
        best = (best[:, None] + cost).min(axis=0)
    return float(best[-1])


@pytest.mark.parametrize("bits", [4, 6])
def test_the_table_is_nearly_the_best_that_there_is(bits: int) -> None:
    values = keyed_generator(0, "heavy tails").standard_t(4, size=900).astype(np.float32)
    best = least(values, 2**bits)
    even = squared(values, np.linspace(values.min(), values.max(), 2**bits, dtype=np.float32))
    assert best * (1 - 1e-6) <= squared(values, palette(values, bits)[0]) < 1.15 * best < even / 2


def test_few_values_are_kept_exactly() -> None:
    values = np.array([[3.0, -1.0], [3.0, 0.25]], np.float32)
    table, places = palette(values, 4)
    assert len(table) == 16
    assert np.array_equal(table[places], values)


def test_equal_weights_give_equal_bits() -> None:
    (table, places), (again, places_again) = palette(WEIGHTS, 6), palette(WEIGHTS.copy(), 6)
    assert np.array_equal(table, again)
    assert np.array_equal(places, places_again)


def test_numbers_are_packed_from_the_highest_bit_on_in_neural_networks_and_from_the_lowest_in_programs() -> None:
    # 1, 2, 3 of four bits: 0001 0010 | 0011, and the description's own example of a program's two bits.
    assert packed(np.array([1, 2, 3], np.uint8), 4) == bytes([0b00010010, 0b00110000])
    assert unpacked(bytes([0b01101100, 0b00000011]), 5, 2).tolist() == [0, 3, 2, 1, 3]
    assert unpacked(bytes([0b11000000, 0b00000101]), 2, 6).tolist() == [0, 0b010111]
    assert unpacked(bytes([0b10000111]), 2, 4, signed=True).tolist() == [7, -8]
