"""The drawing of the cases that a run of the suite takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.sampling import left_out


@given(st.integers(1, 40), st.floats(0.0, 1.0), st.integers(0, 10**6))
def test_a_share_is_taken_of_each_file_and_one_at_least(count: int, share: float, seed: int) -> None:
    cases = {"one": [f"one::{number}" for number in range(count)], "two": ["two::only"]}
    out = left_out(cases, {"one": share, "two": 0.1}, seed)
    assert "two::only" not in out
    assert out < set(cases["one"]) or not out
    assert count - len(out) == max(round(count * share), 1)
    assert out == left_out(cases, {"one": share, "two": 0.1}, seed)


def test_every_case_has_its_day() -> None:
    cases = {"file": [f"file::{number}" for number in range(12)]}
    out = [left_out(cases, {"file": 0.25}, day) for day in range(60)]
    assert set.intersection(*out) == set()
