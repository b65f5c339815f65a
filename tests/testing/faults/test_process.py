"""Processes that share their numbers and their death, and real ones that die by a real signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from mlsession.errors import InvalidParameter, KeyMissing, StoreError
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import (
    CRASHES,
    Call,
    Fault,
    FaultyStore,
    Operation,
    Process,
    ProcessDied,
    at,
    no_faults,
    seeded,
)


def keys_in(space: MemorySpace) -> set[str]:
    return set(space.values)


def test_handles_of_one_process_share_the_numbers() -> None:
    space, process = MemorySpace(), Process()
    one, other = FaultyStore(MemoryStore(space), process), FaultyStore(MemoryStore(space), process)
    one.put("a", b"1")
    assert other.get("a") == b"1"
    other.put_if_absent("log/b", b"2")
    assert one.get_range("a", 0, 1) == b"1"
    assert [entry.key for entry in one.list("log")] == ["log/b"]
    other.delete("a")
    assert process.calls == (
        Call(number=1, operation=Operation.PUT, key="a"),
        Call(number=2, operation=Operation.GET, key="a"),
        Call(number=3, operation=Operation.CREATE, key="log/b"),
        Call(number=4, operation=Operation.GET_RANGE, key="a"),
        Call(number=5, operation=Operation.LIST, key="log"),
        Call(number=6, operation=Operation.DELETE, key="a"),
    )
    assert process.met == ()


def test_the_death_of_one_handle_is_the_death_of_all() -> None:
    space, process = MemorySpace(), Process(at(2, Fault.CRASH_AFTER))
    one, other = FaultyStore(MemoryStore(space), process), FaultyStore(MemoryStore(space), process)
    one.put("a", b"1")
    with pytest.raises(ProcessDied):
        one.put("b", b"2")
    calls: tuple[Callable[[], object], ...] = (
        lambda: other.put("c", b"3"),
        lambda: other.put_if_absent("c", b"3"),
        lambda: other.get("a"),
        lambda: other.get_range("a", 0, 1),
        other.list,
        lambda: other.delete("a"),
    )
    for call in calls:
        with pytest.raises(ProcessDied):
            call()
    assert keys_in(space) == {"a", "b"}
    assert process.is_dead
    assert len(process.calls) == 2, "a dead process makes no more calls"
    one.close()


def test_processes_on_one_space_live_and_die_on_their_own() -> None:
    space = MemorySpace()
    dead, alive = Process(at(1, Fault.CRASH_BEFORE)), Process()
    with pytest.raises(ProcessDied):
        FaultyStore(MemoryStore(space), dead).put("a", b"1")
    survivor = FaultyStore(MemoryStore(space), alive)
    survivor.put("a", b"2")
    assert survivor.get("a") == b"2"
    assert len(dead.calls) == 1
    assert len(alive.calls) == 2


def test_signs_of_life_are_not_numbered_and_end_with_the_process() -> None:
    space, process = MemorySpace(), Process(at(1, Fault.CRASH_BEFORE))
    store = FaultyStore(MemoryStore(space), process)
    store.put("heartbeat/1", b"1")
    store.put("control/1/stop", b"")
    store.delete("control/1/stop")
    assert store.get("heartbeat/1") == b"1"
    assert process.calls == ()
    with pytest.raises(ProcessDied):
        store.put("a", b"1")
    store.put("heartbeat/1", b"2")
    store.delete("heartbeat/1")
    with pytest.raises(KeyMissing):
        store.get("heartbeat/1")
    assert MemoryStore(space).get("heartbeat/1") == b"1"


def test_threads_get_numbers_without_gaps() -> None:
    space, process = MemorySpace(), Process()

    def work(name: int) -> None:
        store = FaultyStore(MemoryStore(space), process)
        for turn in range(50):
            store.put(f"{name}/{turn}", b"")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [call.number for call in process.calls] == list(range(1, 201))
    # The order of the numbers is the order of the effects.
    written = sorted(space.values, key=lambda key: space.values[key].number)
    assert written == [call.key for call in process.calls]


def test_a_delay_holds_up_nobody_else() -> None:
    space = MemorySpace()

    def another_thread(seconds: float) -> None:
        thread = threading.Thread(target=lambda: other.put("b", b"2"))
        thread.start()
        thread.join()
        assert keys_in(space) == {"b"}, "the delayed call was carried out before its delay was over"

    clock = FakeClock(on_sleep=another_thread)
    process = Process(at(1, Fault.DELAY), clock=clock, delay_seconds=7.0)
    one, other = FaultyStore(MemoryStore(space), process), FaultyStore(MemoryStore(space), process)
    one.put("a", b"1")
    assert clock.monotonic() == 7.0
    assert keys_in(space) == {"a", "b"}


def test_a_process_that_dies_during_a_delay_does_not_carry_it_out() -> None:
    space = MemorySpace()

    def die(seconds: float) -> None:
        process.die()

    process = Process(at(1, Fault.DELAY), clock=FakeClock(on_sleep=die))
    with pytest.raises(ProcessDied):
        FaultyStore(MemoryStore(space), process).put("a", b"1")
    assert keys_in(space) == set()


def history(seed: int) -> tuple[object, ...]:
    """All that happened to a process that meets about every fault that it survives."""
    rates: dict[Fault, float] = dict.fromkeys(set(Fault) - CRASHES - {Fault.DELAY}, 0.07)
    space, process = MemorySpace(), Process(seeded(seed, rates), seed=seed)
    store = FaultyStore(MemoryStore(space), process)
    seen: list[object] = []
    for turn in range(60):
        calls: tuple[Callable[[], object], ...] = (
            partial(store.put, f"a/{turn % 7}", b"%d" % turn * 9),
            partial(store.get, f"a/{turn % 5}"),
            partial(store.put_if_absent, f"log/{turn}", b"%d" % turn),
            lambda: [entry.key for entry in store.list("log")],
            partial(store.delete, f"log/{turn - 3}"),
        )
        for call in calls:
            try:
                seen.append(call())
            except StoreError as error:
                seen.append(f"{type(error).__name__}: {error}")
    return (process.met, tuple(seen), tuple((key, value.data) for key, value in space.values.items()))


def test_the_same_seed_gives_the_same_history() -> None:
    assert history(5) == history(5)
    assert history(5) != history(6)


def test_a_real_process_is_killed_at_the_call(tmp_path: Path) -> None:
    lines = (
        "import sys",
        "from mlsession.store.local import LocalStore",
        "from mlsession.testing.faults import Fault, FaultyStore, Process, at, kill_this_process",
        "process = Process(at(2, Fault.CRASH_AFTER), on_crash=kill_this_process)",
        "store = FaultyStore(LocalStore(sys.argv[1]), process)",
        "for name in 'abc': store.put(name, b'x')",
        "print('survived')",
    )
    child = subprocess.run([sys.executable, "-c", "\n".join(lines), str(tmp_path)], capture_output=True, text=True)
    assert child.returncode == (1 if os.name == "nt" else -signal.SIGKILL), child.stderr
    assert child.stdout == ""
    assert {entry.key for entry in LocalStore(tmp_path).list()} == {"a", "b"}


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="delay_seconds"):
        Process(no_faults, delay_seconds=-1.0)
    with pytest.raises(InvalidParameter, match="stale_keys"):
        Process(no_faults, stale_keys=-1)
