"""What runs in a process that is to be killed: an unchanged program, and word of what it does through a pipe.

    python benchmarks/storm/child.py DESCRIPTOR FUSE PROGRAM.py ARGUMENTS...
    python benchmarks/storm/child.py DESCRIPTOR FUSE -m MODULE ARGUMENTS...

Each line is a moment of the machine's monotonic clock, in seconds, and one of

    begin                    Python has started
    call NUMBER KIND         a store call begins; heartbeats, which come at moments of their own, have number 0
    done NUMBER              it has ended, however
    phase NAME               a phase begins or goes on; "opening" before the first call, "ending" once there is a result
    step PHASE ITERATION     a step is done

FUSE says at which of these moments the process gets SIGKILL, "" leaves that to whoever started it: on a busy machine a
signal from outside would come long after the store call that it was meant for.

The program is not told: names that it imports from the package are replaced beforehand, here and only here.
"""

from __future__ import annotations

import os
import sys
import time

if __name__ == "__main__":
    BORN = time.monotonic()
    # A script has only its own folder on the path, and that of this one must not hide anybody's modules.
    sys.path[0] = str(os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))  # noqa: PTH100, PTH118, PTH120

import importlib
import itertools
import json
import runpy
import signal
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlsession.session.log.layout import record_number
from mlsession.session.log.records import Record
from mlsession.store.bulk import get_many, list_page

OPENING, ENDING = "opening", "ending"
OWN_TIME = ("heartbeat", "control")
"""Folders of calls that the heartbeat's thread makes when it likes."""


class Fuse:
    """Kills this process with SIGKILL, some time after a store call of some phase begins.

    `phases` are those of which the first to begin is counted from (none: the start of the process), `call` is the
    number of the call from there, 0 for the beginning itself, and `seconds` is how long after that.
    """

    def __init__(self, phases: Sequence[str], call: int, seconds: float) -> None:
        self._phases = frozenset(phases)
        self._seconds = seconds
        self._left = call
        self._is_lit = not phases

    @staticmethod
    def parse(text: str) -> Fuse | None:
        """What `Moment.fuse` says, in JSON; None for ""."""
        return Fuse(**json.loads(text)) if text else None

    def enter(self, phase: str) -> None:
        """A phase begins."""
        if not self._is_lit and phase in self._phases:
            self._is_lit = True
            if self._left == 0:
                self._burn()

    def call(self) -> None:
        """A store call begins."""
        if self._is_lit:
            self._left -= 1
            if self._left == 0:
                self._burn()

    def _burn(self) -> None:
        threading.Thread(target=self._kill, daemon=True).start()

    def _kill(self) -> None:
        time.sleep(self._seconds)
        os.kill(os.getpid(), signal.SIGKILL)


class Announcer:
    """Says through a pipe what happens; may be used by any thread."""

    def __init__(self, descriptor: int, fuse: Fuse | None) -> None:
        self._descriptor = descriptor
        self._fuse = fuse
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._has_opened = False

    def say(self, *words: str | int, at: float | None = None) -> None:
        """One line, now or `at` a moment of the monotonic clock; a write this short is never torn."""
        moment = time.monotonic() if at is None else at
        os.write(self._descriptor, f"{moment:.6f} {' '.join(map(str, words))}\n".encode())

    def enter(self, phase: str) -> None:
        """A phase begins or goes on."""
        self.say("phase", phase)
        if self._fuse is not None:
            self._fuse.enter(phase)

    @contextmanager
    def calling(self, operation: str, key: str, what: str = "") -> Iterator[None]:
        """Says when a store call begins and ends; before the first one the session begins to be opened."""
        folder = key.partition("/")[0] or "all"
        number = 0
        with self._lock:
            if not self._has_opened:
                self._has_opened = True
                self.enter(OPENING)
            if folder not in OWN_TIME:
                number = next(self._numbers)
            self.say("call", number, f"{operation}:{what or folder}")
            if number and self._fuse is not None:
                self._fuse.call()
        try:
            yield
        finally:
            self.say("done", number)


class AnnouncedStore:
    """A store each of whose calls is announced."""

    def __init__(self, store: Any, announcer: Announcer) -> None:
        self._store = store
        self._announcer = announcer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)  # What a store says of itself, and what only some can do.

    def get(self, key: str) -> bytes:
        with self._announcer.calling("get", key):
            data: bytes = self._store.get(key)
            return data

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        with self._announcer.calling("get_range", key):
            data: bytes = self._store.get_range(key, start, stop)
            return data

    def get_many(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        with self._announcer.calling("get_many", next(iter(limits), "")):
            return get_many(self._store, limits)

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Any, ...] | None:
        with self._announcer.calling("list_page", prefix):
            return list_page(self._store, prefix, after, count)

    def put(self, key: str, data: bytes) -> None:
        with self._announcer.calling("put", key):
            self._store.put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> None:
        with self._announcer.calling("create", key, _kind_of(key, data)):
            self._store.put_if_absent(key, data)

    def list(self, prefix: str = "") -> Iterator[Any]:
        with self._announcer.calling("list", prefix):
            return iter(tuple(self._store.list(prefix)))

    def delete(self, key: str) -> None:
        with self._announcer.calling("delete", key):
            self._store.delete(key)


class AnnouncedTask:
    """A task whose phases and steps are announced."""

    def __init__(self, task: Any, announcer: Announcer) -> None:
        self._task = task
        self._announcer = announcer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def runner(self, phase: str, past: Any) -> AnnouncedRunner:
        return AnnouncedRunner(self._task.runner(phase, past), phase, self._announcer)

    def result(self, past: Any) -> Any:
        self._announcer.enter(ENDING)
        return self._task.result(past)


class AnnouncedRunner:
    """A phase whose steps are announced."""

    def __init__(self, runner: Any, phase: str, announcer: Announcer) -> None:
        self._runner = runner
        self._phase = phase
        self._announcer = announcer

    def run(self, state: Any) -> Iterator[Any]:
        self._announcer.enter(str(self._phase))
        steps = self._runner.run(state)
        try:
            for step in steps:
                self._announcer.say("step", str(self._phase), step.iteration)
                yield step
        finally:
            if isinstance(steps, Generator):
                steps.close()


def announce(announcer: Announcer, with_classifier: bool) -> None:
    """From now on sessions of this process announce what they do."""
    job_run: Any = importlib.import_module("mlsession.job.run")
    plainly_open, plainly_advance = job_run.open_store, job_run.advance_session

    def open_store(url: str, options: Mapping[str, object] | None = None) -> Any:
        return AnnouncedStore(plainly_open(url, options), announcer)

    def advance_session(task: Any, *others: Any) -> Any:
        return plainly_advance(AnnouncedTask(task, announcer), *others)

    job_run.open_store, job_run.advance_session = open_store, advance_session
    if with_classifier:
        training: Any = importlib.import_module("mlsession.training.workers.launching")
        training.advance_session = advance_session


def run_program(words: Sequence[str]) -> None:
    """Runs a script, or "-m" and a module, as Python itself would."""
    if words[0] == "-m":
        sys.argv = list(words[1:])
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(words)
        runpy.run_path(words[0], run_name="__main__")


def run_announced(descriptor: int, fuse: str, words: Sequence[str], born: float) -> None:
    """Runs a program, announced."""
    announcer = Announcer(descriptor, Fuse.parse(fuse))
    announcer.say("begin", at=born)
    announce(announcer, with_classifier=words[0] == "-m")
    run_program(words)


def _kind_of(key: str, data: bytes) -> str:
    """Of a record, what kind it is; "" for anything else."""
    number = record_number(key)
    return "" if number is None else Record.decode(data, number).kind.value


if __name__ == "__main__":
    run_announced(int(sys.argv[1]), sys.argv[2], sys.argv[3:], BORN)
