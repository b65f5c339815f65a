"""A process that forks trainings of one session, each to be killed at a store call of its own; for any backend.

    python victims.py URL LIMIT

Each line of standard input is a `Moment` in JSON, or "null" for a training that lives. The answer is a line with how
it ended, as JSON. All that a training imports is imported once, before the first fork.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

from fsspec import get_filesystem_class

from mlsession.errors import MLSessionError
from mlsession.events import Unprotected
from mlsession.session.policy import EveryIterations
from mlsession.store import open_store
from mlsession.store.location import scheme_of
from mlsession.testing.faults import Call, Fault, FaultyStore, Process, kill_this_process
from mlsession.testing.walk import Walk
from tests.recovery.contenders import SECONDS, shown
from tests.session.attempts import Attempt

ALIVE = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a process is killed."""

    call: int
    """The number of the store call, from 1; heartbeats do not count."""
    when: str
    """ "before" it, "after" it, or "during": `seconds` after it began, wherever the process is by then."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """How a training ended."""

    status: int
    """As in `subprocess.Popen.returncode`."""
    result: str
    """Of a training that finished; else ""."""
    unprotected: bool
    """Whether it said that nothing keeps a second writer out; False of those that were killed."""
    error: str
    """Of a training that failed; else ""."""


class Victims:
    """The process; a context manager."""

    def __init__(self, url: str, limit: int, environment: Mapping[str, str]) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, str(Path(__file__)), url, str(limit)],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self, moment: Moment | None = ALIVE) -> Died:
        """One more training, from its start to its end."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(moment and asdict(moment)) + "\n")
        self._parent.stdin.flush()
        watchdog = threading.Timer(SECONDS, self._parent.kill)
        watchdog.start()
        try:
            return Died(**json.loads(self._parent.stdout.readline()))
        finally:
            watchdog.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parent.communicate()


def main(url: str, limit: int) -> None:
    """Forks a training for each line, until standard input ends."""
    scheme = scheme_of(url)
    get_filesystem_class(scheme or "file")
    if scheme == "gs":
        # gcsfs does so with its first request.
        import gcsfs.extended_gcsfs  # noqa: F401
    for line in iter(sys.stdin.readline, ""):
        moment = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writing, json.dumps(_train(url, limit, moment and Moment(**moment))).encode())
            os._exit(0)
        os.close(writing)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with os.fdopen(reading) as file:
            said = json.loads(file.read() or '{"result": "", "unprotected": false, "error": ""}')
        sys.stdout.write(json.dumps({"status": status, **said}) + "\n")
        sys.stdout.flush()


def _train(url: str, limit: int, moment: Moment | None) -> dict[str, object]:
    """What a child does."""

    def plan(call: Call) -> Fault | None:
        if moment is None or call.number != moment.call:
            return None
        if moment.when == "during":
            threading.Thread(target=_kill_after, args=(moment.seconds,), daemon=True).start()
            return None
        return Fault.CRASH_BEFORE if moment.when == "before" else Fault.CRASH_AFTER

    process = Process(plan, on_crash=kill_this_process)
    attempt = Attempt(
        open_store=lambda: FaultyStore(open_store(url), process), policy=EveryIterations(iterations=2), beat_seconds=0.2
    )
    result = error = ""
    try:
        result = shown(attempt.walk(Walk(limit=limit)))
    except MLSessionError as failure:
        error = f"{type(failure).__name__}: {failure}"
    return {"result": result, "unprotected": bool(attempt.of(Unprotected)), "error": error}


def _kill_after(seconds: float) -> None:
    time.sleep(seconds)
    kill_this_process()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
