from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mlsession.session.log.canonical import canonical_json
from mlsession.session.log.layout import heartbeat_key
from mlsession.session.log.records import Kind, Outcome, Record
from mlsession.session.log.timeline import Summary, Timeline, advance, begin
from mlsession.session.watching.liveness import ProcessIdentity, this_process
from mlsession.session.watching.status import Status, derive_status, heartbeat_age, read_status
from mlsession.store.memory import MemoryStore
from mlsession.testing.clock import START

DATE = START.isoformat()
CREATED = Record(number=0, kind=Kind.CREATED, parent=None, previous="", opening=0, writer="w", session="s", date=DATE)
OPENED = replace(CREATED, number=1, kind=Kind.OPENED, parent=0, opening=1)


def timeline(*records: Record) -> Timeline:
    folded = begin(CREATED, CREATED, Summary())
    for record in records:
        folded = advance(folded, record)
    return folded


def closed(outcome: Outcome) -> Record:
    body = {"outcome": outcome.value, "reason": ""}
    return replace(OPENED, number=2, kind=Kind.CLOSED, parent=1, body=body)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.FINISHED, Status.FINISHED),
        (Outcome.PAUSED, Status.PAUSED),
        (Outcome.INTERRUPTED, Status.INTERRUPTED),
        (Outcome.FAILED, Status.FAILED),
    ],
)
@pytest.mark.parametrize("age", [None, 0.0, 100.0])
def test_a_closed_record_tells_the_outcome(outcome: Outcome, status: Status, age: float | None) -> None:
    assert derive_status(timeline(OPENED, closed(outcome)), age, False, 20.0) is status


@pytest.mark.parametrize(
    ("age", "is_dead", "status"),
    [
        (None, False, Status.INTERRUPTED),
        (0.0, False, Status.RUNNING),
        (19.9, False, Status.RUNNING),
        (20.0, False, Status.INTERRUPTED),
        (0.0, True, Status.INTERRUPTED),
        (-3600.0, False, Status.RUNNING),
    ],
)
def test_without_one_the_heartbeat_tells(age: float | None, is_dead: bool, status: Status) -> None:
    assert derive_status(timeline(OPENED), age, is_dead, 20.0) is status


def test_before_the_first_opening_it_is_new() -> None:
    assert derive_status(timeline(), 0.0, False, 20.0) is Status.NEW


def test_opening_again_outdates_how_it_was_closed() -> None:
    again = replace(OPENED, number=3, parent=2, opening=3)
    assert derive_status(timeline(OPENED, closed(Outcome.FAILED), again), 0.0, False, 20.0) is Status.RUNNING


def beat(store: MemoryStore, opening: int, seconds: float) -> None:
    date = (START + timedelta(seconds=seconds)).isoformat()
    store.put(heartbeat_key(opening), canonical_json({"beat": 1, "date": date, "pid": 1}))


def test_the_age_of_a_heartbeat() -> None:
    store = MemoryStore()
    assert heartbeat_age(store, 1, START) is None
    beat(store, 1, 10)
    assert heartbeat_age(store, 1, START + timedelta(seconds=25)) == 15.0
    for nonsense in (b"", b"{}", b'{"date":"soon"}', b'{"date":"2026-01-01T00:00:00"}', b"\xff"):
        store.put(heartbeat_key(1), nonsense)
        assert heartbeat_age(store, 1, START) is None


def test_reading_a_status_looks_at_the_newest_opening() -> None:
    store = MemoryStore()
    elsewhere = ProcessIdentity(host="elsewhere", pid=1)
    opened = replace(OPENED, body={"process": elsewhere.to_json()})
    assert read_status(store, timeline(), START) is Status.NEW
    # Just opened, not yet beaten: the record's own date counts.
    assert read_status(store, timeline(opened), START + timedelta(seconds=19)) is Status.RUNNING
    assert read_status(store, timeline(opened), START + timedelta(seconds=21)) is Status.INTERRUPTED
    beat(store, 0, 60)
    assert read_status(store, timeline(opened), START + timedelta(seconds=61)) is Status.INTERRUPTED
    beat(store, 1, 60)
    assert read_status(store, timeline(opened), START + timedelta(seconds=61)) is Status.RUNNING
    assert read_status(store, timeline(opened), START + timedelta(seconds=61), stale_after=0.5) is Status.INTERRUPTED


def test_a_dead_process_of_this_machine_is_not_running() -> None:
    us = this_process()
    if not us.boot_id:
        pytest.skip("this system has no /proc")
    store = MemoryStore()
    beat(store, 1, 0)
    for process, status in ((us, Status.RUNNING), (replace(us, start_time="1"), Status.INTERRUPTED)):
        opened = replace(OPENED, body={"process": process.to_json()})
        assert read_status(store, timeline(opened), START) is status
