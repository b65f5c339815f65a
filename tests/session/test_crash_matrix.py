"""A sample of the crash matrix, and that it would notice what it is there to notice.

All of it: `python benchmarks/crash_matrix.py`.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from mlsession.session.log.canonical import canonical_json, sha256
from mlsession.session.log.layout import record_key, record_number
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.faults import CRASHES, Fault, Operation
from mlsession.testing.matrix import SCENARIOS, Case, Matrix, SessionWatch, WatchedStore, sampled, tally
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on

SAMPLE = 30
"""Cases, of each run other ones."""


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return Matrix()


@pytest.fixture(scope="module")
def cases(matrix: Matrix) -> tuple[Case, ...]:
    return matrix.cases()


def test_it_is_large_and_complete(cases: tuple[Case, ...]) -> None:
    assert len(cases) >= 10_000
    assert len(set(cases)) == len(cases)
    assert {case.scenario for case in cases} == {scenario.name for scenario in SCENARIOS}
    assert {case.fault for case in cases} == set(Fault) - {Fault.DELAY}
    assert {case.operation for case in cases} == set(Operation)
    for scenario in SCENARIOS:
        met = Counter(case.number for case in cases if case.scenario == scenario.name and case.fault in CRASHES)
        assert set(met) == set(range(1, max(met) + 1)), f"{scenario.name}: a crash at every call"
        assert min(met.values()) >= 2, "before and after it"


def test_a_sample(matrix: Matrix, cases: tuple[Case, ...]) -> None:
    seed = secrets.randbits(31)
    sys.stdout.write(f"to repeat it: python benchmarks/crash_matrix.py --sample {SAMPLE} --seed {seed}\n")
    total = tally(matrix.run(replace(case, seed=seed)) for case in sampled(cases, SAMPLE, seed))
    assert total.wrong == ()
    assert (total.mismatches, total.broken) == (0, 0)
    assert total.cases + total.not_reached == SAMPLE
    assert total.cases > SAMPLE // 2
    assert total.crashes >= 2 * total.cases, "every case is resumed through two deaths in a row"
    assert total.checks > 10 * total.cases


def test_the_same_seed_draws_the_same(matrix: Matrix, cases: tuple[Case, ...]) -> None:
    assert sampled(cases, 9, 5) == sampled(cases, 9, 5) != sampled(cases, 9, 6)
    case = next(case for case in cases if case.scenario == "plain" and case.fault is Fault.UNAVAILABLE)
    one, again = matrix.run(case), matrix.run(case)
    assert (one.crashes, one.matches, one.broken) == (again.crashes, again.matches, again.broken) == (2, True, ())


def watched(limit: int = 6) -> tuple[MemorySpace, SessionWatch, WatchedStore]:
    """A finished session, watched from its end on."""
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=limit))
    watch = SessionWatch(MemoryStore(space))
    assert watch.broken == []
    return space, watch, WatchedStore(MemoryStore(space), watch)


def changed(record: bytes, **members: object) -> bytes:
    """A record with other members, its digest right."""
    values = {**json.loads(record), **members}
    del values["digest"]
    return canonical_json({**values, "digest": sha256(canonical_json(values))})


def next_record(space: MemorySpace, **members: object) -> tuple[str, bytes]:
    """What would come after the newest record if it were like that one, but for these members."""
    store = MemoryStore(space)
    number = sum(key.startswith("log/") for key in space.values)
    newest = store.get(record_key(number - 1))
    follows = {"number": number, "parent": number - 1, "previous": sha256(newest)}
    return record_key(number), changed(newest, **{**follows, **members})


def a_blob(space: MemorySpace) -> str:
    return next(key for key in space.values if key.startswith("blobs/"))


Break = Callable[[MemorySpace, WatchedStore], None]
BREAKS: dict[str, Break] = {
    "checkpoints rest on it": lambda space, store: store.delete(a_blob(space)),
    "no removed record names it": lambda space, store: store.delete(record_key(1)),
    "is foreign, and was deleted": lambda space, store: store.delete("thesis.tex"),
    "is foreign, and was written": lambda space, store: store.put("thesis.tex", b""),
    "was damaged by being written again": lambda space, store: store.put(a_blob(space), b"else"),
    "other bytes than its name says": lambda space, store: store.put(a_blob(space)[:-1] + "0", b"else"),
    "was not created exclusively": lambda space, store: store.put(record_key(1), b"else"),
    "would be the next": lambda space, store: store.put_if_absent(record_key(99), b"else"),
    "cannot be read": lambda space, store: store.put_if_absent(next_record(space)[0], b"{}"),
    "fenced out by": lambda space, store: store.put_if_absent(*next_record(space, writer="0" * 32)),
    "was not written after the bytes": lambda space, store: store.put_if_absent(*next_record(space, previous="0" * 64)),
    "and the newest whole one is": lambda space, store: store.put_if_absent(*next_record(space, parent=2)),
    "is of another session": lambda space, store: store.put_if_absent(*next_record(space, session="0" * 32)),
    "may go, and checkpoints rest on it": lambda space, store: store.put_if_absent(
        *next_record(space, kind="removed", body={"checkpoints": [], "keys": [a_blob(space)]})
    ),
    "the newest of a phase": lambda space, store: store.put_if_absent(
        *next_record(space, kind="removed", body={"checkpoints": [4], "keys": []})
    ),
    "which were not there": lambda space, store: store.put_if_absent(
        *next_record(space, kind="removed", body={"checkpoints": [1], "keys": []})
    ),
}


@pytest.mark.parametrize("said", BREAKS)
def test_the_watch_notices(said: str) -> None:
    space, watch, store = watched()
    BREAKS[said](space, store)
    assert any(said in line for line in watch.broken), watch.broken


def test_the_watch_notices_a_record_before_its_blobs() -> None:
    space, _, _ = watched()
    other = MemorySpace()
    watch = SessionWatch(MemoryStore(other))
    store = WatchedStore(MemoryStore(other), watch)
    for key in sorted(key for key in space.values if key.startswith("log/")):
        store.put_if_absent(key, space.values[key].data)
    assert any("rests on" in line and "missing" in line for line in watch.broken)


def test_a_torn_record_is_borne_where_the_store_tears() -> None:
    space, _, _ = watched()
    watch = SessionWatch(MemoryStore(space), tears=True)
    key = next_record(space)[0]
    WatchedStore(MemoryStore(space), watch).put_if_absent(key, b"{")
    assert watch.broken == []
    assert watch.torn == {record_number(key)}


def test_another_result_is_a_mismatch() -> None:
    """A task whose result depends on how often it was resumed."""
    count = iter(range(10**6))

    class Forgetful(Walk):
        def result(self, past: object) -> tuple[int, bytes, str, str]:
            return (next(count), b"", "", "")

    matrix = Matrix([type(SCENARIOS[0])(name="plain", task=Forgetful(limit=4))])
    report = matrix.run(matrix.cases()[0])
    assert not report.matches
    assert tally([report]).mismatches == 1
