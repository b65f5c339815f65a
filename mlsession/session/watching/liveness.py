"""Is the last writer still alive? Advice only: safety never depends on the answer (fencing keeps it).

On one machine the process table answers at once. Otherwise the writer's heartbeat is watched on our own monotonic
clock: a beat that moves is alive, one that stays still for `stale_after` seconds is not. Meanwhile the log is looked
at as well: a writer that ends in an orderly way says so there.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from mlsession.clock import Clock
from mlsession.errors import KeyMissing, StoreError
from mlsession.session.log.layout import heartbeat_key, record_key
from mlsession.session.log.records import MOST_BYTES, JsonObject, Record
from mlsession.session.phase import Json
from mlsession.session.stop import StopFlag, stop_requested
from mlsession.session.watching.beat import NewestReport
from mlsession.store.protocol import Store

BEAT_SECONDS = 5.0
_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A process, told apart from a later one with the same number. Unknown parts are empty."""

    host: str
    pid: int
    boot_id: str = ""
    pid_namespace: str = ""
    start_time: str = ""

    @property
    def name(self) -> str:
        """One text that tells it apart from any other process, of this machine or another."""
        return f"{self.host}:{self.pid}:{self.boot_id}:{self.pid_namespace}:{self.start_time}"

    def to_json(self) -> JsonObject:
        return {
            "host": self.host,
            "pid": self.pid,
            "boot_id": self.boot_id,
            "pid_namespace": self.pid_namespace,
            "start_time": self.start_time,
        }

    @staticmethod
    def from_json(value: Json) -> ProcessIdentity:
        parts = value if isinstance(value, dict) else {}
        pid = parts.get("pid")
        return ProcessIdentity(
            host=str(parts.get("host", "")),
            pid=pid if isinstance(pid, int) else 0,
            boot_id=str(parts.get("boot_id", "")),
            pid_namespace=str(parts.get("pid_namespace", "")),
            start_time=str(parts.get("start_time", "")),
        )


def this_process() -> ProcessIdentity:
    """The identity of the running process; boot id, namespace and start time where the system has /proc."""
    return ProcessIdentity(
        host=platform.node(),
        pid=os.getpid(),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        pid_namespace=_pid_namespace(),
        start_time=start_time_of(os.getpid()) or "",
    )


def is_known_dead(process: ProcessIdentity, us: ProcessIdentity, start_time: Callable[[int], str | None]) -> bool:
    """Whether `process` certainly does not run any more: it ran where we run, and its number is free or reused."""
    same_table = bool(us.boot_id) and (process.boot_id, process.pid_namespace) == (us.boot_id, us.pid_namespace)
    return same_table and bool(process.start_time) and start_time(process.pid) not in (process.start_time, None)


def start_time_of(pid: int) -> str | None:
    """When a process of this machine began, in clock ticks since boot; "" if it does not run, None if nobody can tell.

    Another user's process may be hidden (`hidepid`, containers), and is no less alive for that.
    """
    # The command name is in parentheses and may hold anything, so fields are counted after the last ")".
    status = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(status) < 20:
        return "" if _is_free(pid) else None
    return "" if status[0] in "ZX" else status[19]


class Sign(Enum):
    """What was seen of a writer that was watched."""

    STILL = auto()
    """Nothing, for as long as was said."""
    BEATS = auto()
    """Its heartbeat moved."""
    WRITES = auto()
    """There is a new record, by it or by another one: its last word, perhaps."""
    DIED = auto()
    """It has gone from the process table."""


def watch_writer(
    store: Store,
    opened: Record,
    end: int,
    clock: Clock,
    stale_after: float,
    stop: StopFlag | None = None,
) -> Sign:
    """Watches the writer of an `opened` record in a log that ends with record `end`, for `stale_after` seconds.

    Returns as soon as there is something to see. Asked to stop, it raises `Cancelled` or `Interrupted`.
    """
    process, us = ProcessIdentity.from_json(opened.body.get("process")), this_process()
    first, began = read_beat(store, opened.number), clock.monotonic()
    while clock.monotonic() - began < stale_after:
        clock.sleep(_POLL_SECONDS)
        if stop is not None:
            stop.check()
        if _has_record(store, end + 1):
            return Sign.WRITES
        if is_known_dead(process, us, start_time_of):
            return Sign.DIED
        if read_beat(store, opened.number) != first:
            return Sign.BEATS
    return Sign.STILL


def _has_record(store: Store, number: int) -> bool:
    try:
        store.get_range(record_key(number), 0, 1)
    except KeyMissing:
        return False
    return True


class Heartbeat:
    """A thread that shows that a writer is alive, tells `report`, and looks for a request to stop; best effort.

    `opening` is asked before each beat: a writer that steps back past damage opens the session anew.
    """

    def __init__(
        self,
        store: Store,
        opening: Callable[[], int],
        clock: Clock,
        on_stop: Callable[[str], None],
        on_missed: Callable[[str], None],
        beat_seconds: float = BEAT_SECONDS,
        report: NewestReport | None = None,
    ) -> None:
        self._store = store
        self._opening = opening
        self._clock = clock
        self._on_stop = on_stop
        self._on_missed = on_missed
        self._beat_seconds = beat_seconds
        self._report = report or NewestReport()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlsession-heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; waits for a beat that is being written only for a moment."""
        self._end.set()
        self._thread.join(timeout=_CLOSE_SECONDS)

    def _run(self) -> None:
        beats, missed = 0, False
        try:
            while not self._end.is_set():
                beats += 1
                try:
                    opening = self._opening()
                    self._store.put(heartbeat_key(opening), self._content(beats))
                    self._look_for_stop(opening)
                    missed = False
                except StoreError as error:
                    if not missed:
                        self._on_missed(str(error))
                    missed = True
                self._end.wait(self._beat_seconds)
        finally:
            self._store.close()

    def _content(self, beats: int) -> bytes:
        return self._report.beat(beats, self._clock.now(), os.getpid()).encode()

    def _look_for_stop(self, opening: int) -> None:
        reason = stop_requested(self._store, opening)
        if reason is not None:
            self._on_stop(f"another process asked this job to stop{f': {reason}' if reason else ''}")


def read_beat(store: Store, opening: int) -> bytes:
    """The heartbeat of an opening as it is stored, its beginning where it is too long; empty where there is none."""
    try:
        return store.get_range(heartbeat_key(opening), 0, MOST_BYTES)
    except KeyMissing:
        return b""


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _is_free(pid: int) -> bool:
    """Whether no process has this number, hidden or not; False where the system cannot be asked."""
    if os.name != "posix" or pid <= 0:
        return False  # Elsewhere this signal is Ctrl-C, and other numbers mean groups of processes.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # It is there, and another's.
    return False


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
