"""What saving costs, measured by the engine on a clock that the test sets, and told while it runs and after."""

from __future__ import annotations

import pytest

from mlsession.session.cost import CostMeter, SavingCost
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Outcome
from mlsession.session.phase import Json
from mlsession.session.watching.status import read_saving
from mlsession.store import MemorySpace, MemoryStore
from mlsession.testing.walk import Walk

from .attempts import attempt_on

COST = SavingCost(elapsed=200.0, waited=0.5, stored=12.0)


def test_the_share_of_the_time_that_saving_took_from_the_work() -> None:
    meter = CostMeter()
    meter.worked(10.0, 0.25)
    meter.stored(3.0)
    meter.worked(200.0, 0.25)
    meter.stored(9.0)
    assert meter.cost == COST
    assert COST.overhead == 0.0025


def test_before_there_was_work_there_is_no_share() -> None:
    assert CostMeter().cost is None


def test_it_is_read_back_as_it_was_written() -> None:
    assert SavingCost.from_json(COST.to_json()) == COST


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"elapsed": 1.0, "waited": 0.1},
        {"elapsed": 1.0, "waited": "0.1", "stored": 0.0},
        {"elapsed": 0.0, "waited": 0.0, "stored": 0.0},
        {"elapsed": 1.0, "waited": -1.0, "stored": 0.0},
        {"elapsed": float("nan"), "waited": 0.0, "stored": 0.0},
        {"elapsed": float("inf"), "waited": 0.0, "stored": 0.0},
    ],
)
def test_anything_else_says_nothing(value: Json) -> None:
    assert SavingCost.from_json(value) is None


def test_a_session_says_at_its_end_what_saving_cost() -> None:
    space = MemorySpace()
    attempt_on(space, 2).walk(Walk(limit=10))
    state = Journal(MemoryStore(space)).load()
    assert state is not None
    assert state.timeline.closed is not None
    assert state.timeline.closed.body["outcome"] == Outcome.FINISHED
    cost = read_saving(MemoryStore(space), state.timeline)
    assert cost is not None
    assert 0 < cost.waited <= cost.elapsed
    assert cost.stored > 0
