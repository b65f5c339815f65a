"""Processes that all want to train one session: forked from a parent that has imported everything, so that they meet.

    python contenders.py URL COUNT [--take-over] [--stale-after S] [--limit N] [--pause S]

prints a line with the process ids as JSON, and once all have ended, a line with how each of them did.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from mlsession.errors import JobStopped, MLSessionError
from mlsession.session.policy import EveryIterations
from mlsession.store import open_store
from mlsession.testing.walk import Walk
from tests.recovery.nursery import Nursery
from tests.session.attempts import Attempt

BEAT_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one process did."""

    pid: int
    outcome: str
    """ "finished", or the name of the error's class."""
    message: str
    """Of the error; of a finished walk, its result."""

    @property
    def finished(self) -> bool:
        return self.outcome == "finished"


class Contest:
    """`count` processes that begin at the same moment; ends when all of them have."""

    def __init__(
        self, clients: Nursery, url: str, count: int, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._parent = clients.start(__file__, url, str(count), *options, environment=environment)
        self._parent.until(lambda: "\n" in self._parent.out)
        self.pids: list[int] = json.loads(self._parent.out.splitlines()[0])

    @property
    def has_ended(self) -> bool:
        return self._parent.has_ended

    def outcomes(self) -> list[Ended]:
        """Waits for the end; one for each process, in the order of `pids`."""
        assert self._parent.wait() == 0, self._parent.err
        return [Ended(**ended) for ended in json.loads(self._parent.out.splitlines()[1])]


def shown(result: tuple[int, bytes, str, str]) -> str:
    """The result of a walk as one text, exact to the bit."""
    steps, vector, total, digest = result
    return f"{steps} {vector.hex()} {total} {digest}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("--take-over", action="store_true")
    parser.add_argument("--stale-after", type=float, default=2.0)
    parser.add_argument("--limit", type=int, default=30)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to wait in each step")
    arguments = parser.parse_args()
    outputs: list[int] = []
    pids: list[int] = []
    for _ in range(arguments.count):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            outcome = json.dumps(contend(arguments))
            os.write(writing, outcome.encode())
            os._exit(0)
        os.close(writing)
        outputs.append(reading)
        pids.append(pid)
    sys.stdout.write(f"{json.dumps(pids)}\n")
    sys.stdout.flush()
    for pid in pids:
        os.waitpid(pid, 0)
    sys.stdout.write(f"[{','.join(_all_of(output) for output in outputs)}]\n")


def contend(arguments: argparse.Namespace) -> dict[str, str | int]:
    """What one process does."""
    attempt = Attempt(
        open_store=lambda: open_store(arguments.url),
        policy=EveryIterations(iterations=1),
        take_over=arguments.take_over,
        stale_after=arguments.stale_after,
        beat_seconds=BEAT_SECONDS,
    )
    task = Walk(limit=arguments.limit, on_step=lambda turn: time.sleep(arguments.pause))
    try:
        outcome, message = "finished", shown(attempt.walk(task))
    except (MLSessionError, JobStopped) as error:
        outcome, message = type(error).__name__, str(error)
    return {"pid": os.getpid(), "outcome": outcome, "message": message}


def _all_of(output: int) -> str:
    with os.fdopen(output) as file:
        return file.read()


if __name__ == "__main__":
    main()
