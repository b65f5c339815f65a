"""Several writers of one session, on every kind of store: one timeline, and losers that harm nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from mlsession.randomness import keyed_generator
from mlsession.session.log.layout import heartbeat_key, record_key
from mlsession.session.log.records import Kind, Record
from mlsession.store import Store
from mlsession.testing.invariants import Facts, check_session, stored_bytes
from mlsession.testing.walk import Walk
from tests.recovery.contenders import Contest, Ended, shown
from tests.recovery.halting import is_stopped
from tests.recovery.nursery import SECONDS, Nursery
from tests.servers.backends import CLOUDS, Backend
from tests.session.attempts import unbroken

pytestmark = pytest.mark.sampled(0.4)

SEED = 4
LIMIT = 12
PAUSE = "0.3"
"""Four seconds in all, so that whoever is kept waiting by a busy machine still finds it at work."""
STALE = ["--stale-after", "1.0"]
LOST = {"SessionInUse", "SessionTakenOver"}
NUM_OPENERS = 8
FEWER_OPENERS = 4
"""Where each makes clients of its own, and a server answers them all."""
ON_A_DISK = pytest.mark.parametrize("backend", ["local"], indirect=True)


class Place:
    """A session's folder, and what another process needs to reach it."""

    def __init__(self, backend: Backend, clients: Nursery) -> None:
        self._clients = clients
        self.name = backend.name
        self.url = backend.new_url()
        self.environment = backend.environment
        self.store = backend.open_store(self.url)

    def contest(self, count: int, *options: str, limit: int = LIMIT) -> Contest:
        return Contest(self._clients, self.url, count, "--limit", str(limit), *options, environment=self.environment)

    def facts(self) -> Facts:
        facts = check_session(self.store)
        assert facts is not None
        return facts

    def wait_for(self, number: int, contest: Contest) -> None:
        """Returns once the log has record `number`."""
        deadline = time.monotonic() + SECONDS
        while not any(entry.key >= record_key(number) for entry in self.store.list("log")):
            assert time.monotonic() < deadline
            assert not contest.has_ended, contest.outcomes()
            time.sleep(0.005 if self.name == "local" else 0.02)  # Asking takes the time of a server, too.


@pytest.fixture
def place(backend: Backend, clients: Nursery) -> Iterator[Place]:
    place = Place(backend, clients)
    with closing(place.store):
        yield place


@pytest.fixture(scope="module")
def expected() -> str:
    return shown(unbroken(Walk(limit=LIMIT)))


def freeze(contest: Contest) -> int:
    """Stops the one process of a contest in its tracks; its number."""
    (pid,) = contest.pids
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + SECONDS
    while not is_stopped(pid):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return pid


def only(contest: Contest) -> Ended:
    (ended,) = contest.outcomes()
    return ended


def keys_of_opening(store: Store, opening: int) -> set[str]:
    """What a writer may still write once it has been fenced out: blobs that nobody names, and signs of life."""
    return {entry.key for entry in store.list(f"blobs/{opening:010d}")} | {heartbeat_key(opening)}


@pytest.mark.parametrize(
    ("backend", "manner"),
    [*((name, ["--take-over"]) for name in CLOUDS), ("local", STALE), ("s3", STALE)],
    indirect=["backend"],
)
def test_a_frozen_writer_wakes_up_to_find_itself_fenced_out(place: Place, expected: str, manner: list[str]) -> None:
    first = place.contest(1, "--pause", PAUSE)
    # Anywhere in the run, in the midst of a request too.
    place.wait_for(2 + int(keyed_generator(SEED, "frozen", place.name, *manner).integers(LIMIT // 2)), first)
    pid = freeze(first)
    frozen_opening = place.facts().records[-1].opening
    second = only(place.contest(1, *manner))
    assert second.outcome == "finished", second.message
    before = stored_bytes(place.store)
    os.kill(pid, signal.SIGCONT)
    loser = only(first)
    assert loser.outcome == "SessionTakenOver", loser.message
    assert "another writer" in loser.message
    after = stored_bytes(place.store)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed <= keys_of_opening(place.store, frozen_opening)
    assert second.message == expected
    assert only(place.contest(1)).message == expected
    place.facts()


@ON_A_DISK
def test_of_a_chain_of_take_overs_only_the_last_goes_on(place: Place, expected: str) -> None:
    frozen = []
    for link in range(3):
        contest = place.contest(1, "--take-over", "--pause", PAUSE)
        place.wait_for(4 * link + 3, contest)
        freeze(contest)
        frozen.append(contest)
    # The last wakes first, and finishes; those before it find out one after the other.
    for contest in reversed(frozen):
        os.kill(contest.pids[0], signal.SIGCONT)
    *losers, winner = [only(contest) for contest in frozen]
    assert [loser.outcome for loser in losers] == ["SessionTakenOver"] * 2
    assert winner.message == expected
    openings = [record.number for record in place.facts().records if record.kind is Kind.OPENED]
    assert len(openings) == 3


@pytest.mark.parametrize(
    ("backend", "options"),
    [*((name, ["--take-over"]) for name in CLOUDS), ("local", []), ("s3", [])],
    indirect=["backend"],
)
def test_many_openers_at_once_give_one_timeline(place: Place, expected: str, options: list[str]) -> None:
    contest = place.contest(NUM_OPENERS if place.name == "local" else FEWER_OPENERS, "--pause", PAUSE, *options)
    outcomes = contest.outcomes()
    finished = [ended for ended in outcomes if ended.finished]
    assert finished
    assert {ended.message for ended in finished} == {expected}
    assert {ended.outcome for ended in outcomes} <= {"finished", *LOST}
    facts = place.facts()
    assert facts.timeline[-1].body["outcome"] == "finished"
    # Whoever finished had opened the session last, or found it finished: nobody else committed after the last opening.
    opening = max(record.number for record in facts.records if record.kind is Kind.OPENED)
    assert {record.writer for record in facts.records[opening:]} == {facts.records[opening].writer}


@ON_A_DISK
def test_the_session_of_a_contest_can_be_extended(place: Place, expected: str) -> None:
    place.contest(NUM_OPENERS, "--take-over").outcomes()
    longer = Walk(limit=LIMIT + 6)
    assert only(place.contest(1, limit=longer.limit)).message == shown(unbroken(longer))
    assert _kinds(place.facts().records)[Kind.CREATED] == 1


def _kinds(records: tuple[Record, ...]) -> dict[Kind, int]:
    return {kind: sum(record.kind is kind for record in records) for kind in Kind}
