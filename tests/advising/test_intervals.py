from __future__ import annotations

import pytest

from mlsession.advising.intervals import Share, least_gap
from mlsession.errors import InternalError
from mlsession.metrics.intervals import wilson_interval


@pytest.mark.parametrize(("part", "count"), [(0, 1), (5, 5), (26, 28), (189, 200), (77, 200), (0, 3_000)])
def test_the_interval_is_wilsons(part: int, count: int) -> None:
    assert Share(part=part, count=count).interval() == pytest.approx(wilson_interval(part, count), abs=1e-12)


def test_newcombes_example() -> None:
    """Method 10 of the paper's table II: 56 of 70 against 48 of 80 gives 0.0524 to 0.3339."""
    larger, smaller = Share(part=56, count=70), Share(part=48, count=80)
    assert least_gap(larger, smaller) == pytest.approx(0.0524, abs=1e-4)
    assert -least_gap(smaller, larger) == pytest.approx(0.3339, abs=1e-4)


def test_more_candidates_take_more_proof() -> None:
    larger, smaller = Share(part=90, count=100), Share(part=70, count=100)
    gaps = [least_gap(larger, smaller, candidates) for candidates in (1, 10, 1_000)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.05


def test_nothing_is_proven_by_no_images() -> None:
    none = Share(part=0, count=0)
    assert none.interval() == (0.0, 1.0)
    assert least_gap(Share(part=9, count=9), none) < 0
    assert least_gap(none, Share(part=0, count=9)) < 0


def test_a_share_is_of_what_there_is() -> None:
    with pytest.raises(InternalError):
        Share(part=3, count=2)
