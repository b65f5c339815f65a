"""Real SIGKILLs of real processes on every kind of store: before, after and in the midst of its requests."""

from __future__ import annotations

import signal
import uuid
from contextlib import closing

import pytest

from mlsession.randomness import keyed_generator
from mlsession.store import open_store
from mlsession.testing.faults import Fault, FaultyStore, Process, ProcessDied, at
from mlsession.testing.invariants import check_session
from mlsession.testing.walk import Walk
from tests.recovery.contenders import shown
from tests.recovery.nursery import Nursery
from tests.recovery.victims import Moment, Victims
from tests.servers.backends import BACKENDS, Backend
from tests.session.attempts import Attempt, unbroken

pytestmark = pytest.mark.sampled(0.4)

SEED = 11
LIMIT = 16
LATEST_CALL = 24
"""Some more calls than an attempt needs until it has saved for the first time."""
LONGEST_SECONDS = 0.004
"""About as long as a small request takes."""


def moments(name: str) -> list[Moment]:
    """When each process dies: as often in each manner, in a seeded order."""
    draw = keyed_generator(SEED, "kills", name)
    # Each process makes clients of its own, which may take a second of computing.
    manners = draw.permutation(["before", "after", "during"] * (2 if name == "local" else 1))
    return [
        Moment(call=int(draw.integers(1, LATEST_CALL)), when=str(when), seconds=draw.uniform(0, LONGEST_SECONDS))
        for when in manners
    ]


@pytest.mark.parametrize("backend", BACKENDS, indirect=True)
def test_killed_at_any_request_it_gives_the_same_result(clients: Nursery, backend: Backend) -> None:
    url = backend.new_url()
    victims = Victims(clients, url, LIMIT, backend.environment)
    with closing(backend.open_store(url)) as store:
        for moment in moments(backend.name):
            died = victims.train(moment)
            assert died.status == -signal.SIGKILL, (moment, died)
            check_session(store)
        finished = victims.train()
        assert finished.result == shown(unbroken(Walk(limit=LIMIT))), finished.error
        assert finished.unprotected is not backend.protected
        facts = check_session(store)
    assert facts is not None
    assert len(facts.checkpoints) >= LIMIT // 2


def test_memory_outlives_the_attempts_of_one_process() -> None:
    url = f"memory://{uuid.uuid4()}/session"
    for call in range(3, 30, 3):
        process = Process(at(call, Fault.CRASH_AFTER))
        with pytest.raises(ProcessDied):
            Attempt(open_store=lambda process=process: FaultyStore(open_store(url), process)).walk(Walk())  # type: ignore[misc]
        with closing(open_store(url)) as store:
            check_session(store)
    assert Attempt(open_store=lambda: open_store(url)).walk(Walk()) == unbroken(Walk())
