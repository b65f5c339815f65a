"""A column of texts against a list of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.data.texts import Texts
from mlsession.errors import InternalError

words = st.text(alphabet="ab\0é\U0001f600", max_size=18)
columns = st.lists(words, max_size=8)


@settings(max_examples=200, deadline=None)
@given(columns, st.slices(8), st.lists(st.integers(0, 7), max_size=5))
def test_it_is_the_sequence_that_it_was_made_of(column: list[str], part: slice, places: list[int]) -> None:
    texts = Texts.of(column)
    assert (list(texts), len(texts)) == (column, len(column))
    assert texts == column
    assert texts == tuple(column)
    assert [texts[row] for row in range(-len(column), len(column))] == column * 2
    assert list(texts[part]) == column[part]
    rows = np.array([place for place in places if place < len(column)], dtype=np.int64)
    assert list(texts.take(rows)) == [column[row] for row in rows]
    with pytest.raises(IndexError):
        texts[len(column)]


@settings(max_examples=300, deadline=None)
@given(columns, st.booleans())
def test_ascending_is_by_code_points(column: list[str], in_order: bool) -> None:
    column = sorted(set(column)) if in_order else column
    assert Texts.of(column).is_ascending() == all(first < second for first, second in pairwise(column))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(words, words, st.booleans()), max_size=8))
def test_rows_that_differ_are_found(pairs: list[tuple[str, str, bool]]) -> None:
    one, two = [pair[0] for pair in pairs], [first if same else second for first, second, same in pairs]
    found = Texts.of(one).differs_from(Texts.of(two)).tolist()
    assert found == [first != second for first, second in zip(one, two, strict=True)]


def test_what_is_done_in_parts_is_as_if_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    column = sorted(f"folder/{number * 7919 % 10_007}" for number in range(10_000))
    other = [text[::-1] if row % 97 == 0 else text for row, text in enumerate(column)]
    monkeypatch.setattr("mlsession.data.texts.ROWS_AT_ONCE", 64)
    assert Texts.of(column).is_ascending()
    assert not Texts.of([*column[:5_000], "", *column[5_000:]]).is_ascending()
    assert Texts.of(column).differs_from(Texts.of(other)).tolist() == [row % 97 == 0 for row in range(10_000)]
    assert list(Texts.of(column).take(np.arange(9_999, -1, -1))) == column[::-1]


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        Texts.of(["a", "\udc80"])


def test_offsets_must_fit() -> None:
    with pytest.raises(InternalError, match="offsets"):
        Texts(np.zeros(3, dtype=np.uint8), np.array([0, 2]))
