from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from mlsession.errors import StoreUnavailable
from mlsession.session.log.canonical import parse_object
from mlsession.session.log.layout import heartbeat_key, record_key, stop_key
from mlsession.session.log.records import Kind, Record
from mlsession.session.phase import Json
from mlsession.session.stop import request_stop
from mlsession.session.watching.liveness import (
    Heartbeat,
    ProcessIdentity,
    Sign,
    is_known_dead,
    start_time_of,
    this_process,
    watch_writer,
)
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from tests.session.stores import HookedStore

US = ProcessIdentity(host="h", pid=1, boot_id="boot", pid_namespace="pid:[1]", start_time="10")
IT = ProcessIdentity(host="h", pid=2, boot_id="boot", pid_namespace="pid:[1]", start_time="20")

needs_proc = pytest.mark.skipif(not start_time_of(os.getpid()), reason="this system has no /proc")


def test_round_trip_and_nonsense() -> None:
    assert ProcessIdentity.from_json(US.to_json()) == US
    wrong: list[Json] = [None, [], "x", {"pid": "1"}, {}]
    for value in wrong:
        process = ProcessIdentity.from_json(value)
        assert process.pid == 0
        assert not is_known_dead(process, US, lambda pid: "")


@pytest.mark.parametrize(
    ("change", "running_since", "dead"),
    [
        ({}, "20", False),
        ({}, "", True),
        ({}, "21", True),
        ({}, None, False),
        ({"boot_id": "other"}, "", False),
        ({"pid_namespace": "pid:[2]"}, "", False),
        ({"start_time": ""}, "", False),
        ({"boot_id": ""}, "", False),
        ({"host": "renamed"}, "", True),
    ],
)
def test_only_what_certainly_ended_is_dead(change: dict[str, str], running_since: str | None, dead: bool) -> None:
    asked: list[int] = []

    def start_time(pid: int) -> str | None:
        asked.append(pid)
        return running_since

    assert is_known_dead(replace(IT, **change), US, start_time) is dead  # type: ignore[arg-type]
    assert set(asked) <= {2}


def test_where_processes_cannot_be_told_apart_nobody_is_known_dead() -> None:
    nobody = replace(US, boot_id="", pid_namespace="", start_time="")
    assert not is_known_dead(nobody, nobody, lambda pid: "")
    assert not is_known_dead(replace(IT, boot_id=""), replace(US, boot_id=""), lambda pid: "")


@needs_proc
def test_this_process_is_alive() -> None:
    us = this_process()
    assert (us.pid, bool(us.boot_id), bool(us.pid_namespace)) == (os.getpid(), True, True)
    assert not is_known_dead(us, us, start_time_of)


@needs_proc
def test_a_killed_child_is_dead_even_as_a_zombie() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        identity = replace(this_process(), pid=child.pid, start_time=start_time_of(child.pid) or "")
        assert identity.start_time
        assert not is_known_dead(identity, this_process(), start_time_of)
        child.kill()
        # Waits until it has ended, and leaves it in the process table.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_known_dead(identity, this_process(), start_time_of)
    finally:
        child.communicate()
    assert is_known_dead(identity, this_process(), start_time_of)


HIDDEN = """
import os
from dataclasses import replace
from mlsession.session.watching.liveness import is_known_dead, start_time_of, this_process

owner = this_process()
if (gone := os.fork()) == 0:
    os._exit(0)
os.waitpid(gone, 0)
if os.fork() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    us = this_process()
    dead = [is_known_dead(it, us, start_time_of) for it in (owner, replace(owner, pid=gone))]
    print(start_time_of(owner.pid), *dead, flush=True)
    os._exit(0)
os.wait()
"""
"""A writer, and another user who looks whether it lives."""


@needs_proc
def test_a_process_that_cannot_be_seen_is_not_taken_for_dead() -> None:
    """Of another user, where the system hides these."""
    command = f'mount -t proc -o hidepid=2 proc /proc || exit 77; exec "{sys.executable}" -c "$0"'
    unshare = shutil.which("unshare")
    if unshare is None or os.getuid() != 0:
        pytest.skip("only the super-user can hide processes, with unshare")
    line = [unshare, "--mount", "--pid", "--fork", "sh", "-c", command, HIDDEN]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0 and "Traceback" not in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.stdout.split() == ["None", "False", "True"], done.stderr


def watched(store: MemoryStore, clock: FakeClock, stale_after: float, process: ProcessIdentity | None = None) -> Sign:
    """What is seen of opening 3, by default of another machine, in a log that ends with record 7."""
    body = {"process": (process or replace(IT, boot_id="other")).to_json()}
    opened = Record(
        number=3, kind=Kind.OPENED, parent=2, previous="", opening=3, writer="w", session="s", date="", body=body
    )
    return watch_writer(store, opened, 7, clock, stale_after)


def test_a_heartbeat_that_moves_is_alive_at_once() -> None:
    store = MemoryStore()
    store.put(heartbeat_key(3), b"1")
    clock = FakeClock(on_sleep=lambda seconds: store.put(heartbeat_key(3), b"2") if clock.monotonic() > 7 else None)
    assert watched(store, clock, 20) is Sign.BEATS
    assert 7 < clock.monotonic() < 8


def test_a_heartbeat_that_appears_is_alive() -> None:
    store = MemoryStore()
    clock = FakeClock(on_sleep=lambda seconds: store.put(heartbeat_key(3), b"1"))
    assert watched(store, clock, 20) is Sign.BEATS


def test_a_still_heartbeat_is_watched_for_as_long_as_was_said() -> None:
    for content in (None, b"1"):
        store, clock = MemoryStore(), FakeClock()
        store.put(record_key(7), b"the newest one")
        if content is not None:
            store.put(heartbeat_key(3), content)
        assert watched(store, clock, 20) is Sign.STILL
        assert 20 <= clock.monotonic() < 21


def test_a_new_record_ends_the_watch_at_once() -> None:
    store = MemoryStore()
    clock = FakeClock(on_sleep=lambda seconds: store.put(record_key(8), b"") if clock.monotonic() > 7 else None)
    assert watched(store, clock, 20) is Sign.WRITES
    assert 7 < clock.monotonic() < 8


@needs_proc
def test_a_process_that_dies_ends_the_watch_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        identity = replace(this_process(), pid=child.pid, start_time=start_time_of(child.pid) or "")

        def kill(seconds: float) -> None:
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        clock = FakeClock(on_sleep=kill)
        assert watched(MemoryStore(), clock, 20, identity) is Sign.DIED
        assert clock.monotonic() < 1


def test_another_opening_or_the_time_of_day_does_not_matter() -> None:
    store = MemoryStore()
    store.put(heartbeat_key(3), b"1")
    clock = FakeClock(on_sleep=lambda seconds: store.put(heartbeat_key(4), b"%f" % clock.monotonic()))
    assert watched(store, clock, 5) is Sign.STILL


def test_no_patience_means_no_waiting() -> None:
    clock = FakeClock()
    assert watched(MemoryStore(), clock, 0) is Sign.STILL
    assert clock.monotonic() == 0


class Beating:
    """A heartbeat, and events that tell what it did."""

    def __init__(self, store: HookedStore) -> None:
        self.opening = 3
        self.stopped, self.missed = threading.Event(), threading.Event()
        self.reasons: list[str] = []
        self.why: list[str] = []
        self.heartbeat = Heartbeat(store, lambda: self.opening, FakeClock(), self._stop, self._miss, beat_seconds=0.001)

    def _stop(self, reason: str) -> None:
        self.why.append(reason)
        self.stopped.set()

    def _miss(self, reason: str) -> None:
        self.reasons.append(reason)
        self.missed.set()


def test_a_heartbeat_beats_and_sees_a_request_to_stop() -> None:
    space = MemorySpace()
    MemoryStore(space).put(stop_key(3), b"")
    beating = Beating(HookedStore(MemoryStore(space), lambda operation, key: None))
    assert beating.stopped.wait(30)
    beating.heartbeat.close()
    beat = parse_object(MemoryStore(space).get(heartbeat_key(3)), "k")
    assert isinstance(beat["beat"], int)
    assert beat["beat"] >= 1
    assert beat["pid"] == os.getpid()
    assert not beating.missed.is_set()


@pytest.mark.parametrize(
    ("reason", "said"), [("", "another process asked this job to stop"), ("lunch", "asked this job to stop: lunch")]
)
def test_a_request_says_why(reason: str, said: str) -> None:
    space = MemorySpace()
    request_stop(MemoryStore(space), 3, reason)
    beating = Beating(HookedStore(MemoryStore(space), lambda operation, key: None))
    assert beating.stopped.wait(30)
    beating.heartbeat.close()
    assert beating.why[0].endswith(said)


def test_a_request_to_another_opening_is_not_ours() -> None:
    space = MemorySpace()
    MemoryStore(space).put(stop_key(2), b"")
    looked = threading.Event()
    beating = Beating(
        HookedStore(MemoryStore(space), lambda operation, key: looked.set() if operation == "get" else None)
    )
    assert looked.wait(30)
    beating.heartbeat.close()
    assert not beating.stopped.is_set()


def test_a_beat_that_fails_is_said_and_ends_nothing() -> None:
    def fail(operation: str, key: str) -> None:
        raise StoreUnavailable("away", key)

    store = HookedStore(MemoryStore(), fail)
    beating = Beating(store)
    assert beating.missed.wait(30)
    beating.heartbeat.close()
    assert beating.reasons == ["away"]
    assert not any(thread.name == "mlsession-heartbeat" for thread in threading.enumerate())


def test_an_outage_is_said_once_and_the_next_one_again() -> None:
    puts, enough = [0], threading.Event()

    def fail(operation: str, key: str) -> None:
        if operation == "put":
            puts[0] += 1
            if puts[0] >= 9:
                enough.set()
            if puts[0] in (1, 2, 3, 5, 6):
                raise StoreUnavailable(f"away at beat {puts[0]}", key)

    beating = Beating(HookedStore(MemoryStore(), fail))
    assert enough.wait(30)
    beating.heartbeat.close()
    assert beating.reasons == ["away at beat 1", "away at beat 5"]


def test_beats_follow_the_opening() -> None:
    space, moved = MemorySpace(), threading.Event()

    def watch(operation: str, key: str) -> None:
        if (operation, key) == ("put", heartbeat_key(8)):
            moved.set()

    beating = Beating(HookedStore(MemoryStore(space), watch))
    beating.opening = 8
    assert moved.wait(30)
    beating.heartbeat.close()
    assert heartbeat_key(8) in space.values
