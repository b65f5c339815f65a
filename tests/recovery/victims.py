"""Trainings of one session, each to be killed at a store call of its own; for any backend.

    python victims.py URL LIMIT MOMENT

The moment is a `Moment` in JSON, or "null" for a training that lives, which prints how it ended, as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mlsession.errors import MLSessionError
from mlsession.events import Unprotected
from mlsession.session.policy import EveryIterations
from mlsession.store import open_store
from mlsession.testing.faults import Call, Fault, FaultyStore, Process, kill_this_process
from mlsession.testing.walk import Walk
from tests.recovery.contenders import shown
from tests.recovery.nursery import Nursery
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
    result: str = ""
    """Of a training that finished; else ""."""
    unprotected: bool = False
    """Whether it said that nothing keeps a second writer out; False of those that were killed."""
    error: str = ""
    """Of a training that failed; else ""."""


class Victims:
    """Trainings of the session at a URL, one after the other."""

    def __init__(self, clients: Nursery, url: str, limit: int, environment: Mapping[str, str]) -> None:
        self._clients = clients
        self._words = (url, str(limit))
        self._environment = environment

    def train(self, moment: Moment | None = ALIVE) -> Died:
        """One more training, from its start to its end."""
        words = (*self._words, json.dumps(moment and asdict(moment)))
        status, output, errors = self._clients.run(__file__, *words, environment=self._environment)
        assert status <= 0, errors
        return Died(status=status, **json.loads(output or "{}"))


def main(url: str, limit: int, moment: str) -> None:
    """Trains, and says how that ended."""
    when = json.loads(moment)
    sys.stdout.write(json.dumps(_train(url, limit, when and Moment(**when))))


def _train(url: str, limit: int, moment: Moment | None) -> dict[str, object]:

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
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
