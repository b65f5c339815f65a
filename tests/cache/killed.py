"""Runs that remember files in a cache, each killed (-9) one call to the disk later than the one before.

    python -m tests.cache.killed FOLDER

Standard output says for each run what the cache knows after it: how many of the files of the run before, and of its
own. The last one was not killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from mlsession.cache.handle import Handle
from mlsession.cache.remembering import Memory
from mlsession.cache.trial import Trial
from mlsession.store import LocalStore

BEFORE = 17
"""Runs whose memos are there before: the next one makes one file of all."""


def stamp(number: int) -> bytes:
    return number.to_bytes(8, "big") * 2


def digest(number: int) -> bytes:
    return number.to_bytes(8, "little") * 4


def memory(folder: Path) -> Memory:
    def failed(reason: str) -> None:
        raise AssertionError(reason)

    return Memory(Handle(lambda: LocalStore(folder)), Trial(failed))


def remember(folder: Path, number: int) -> None:
    run = memory(folder)
    run.note(stamp(number), digest(number))
    run.finish(lambda size: True)


def knows(folder: Path, numbers: range) -> int:
    """How many of the files are known; never a wrong content."""
    known = memory(folder)
    found = [(number, known.digests([stamp(number)])) for number in numbers]
    assert all(row is None or row[0].tobytes() == digest(number) for number, row in found)
    return sum(row is not None for _, row in found)


def strike(calls: int) -> None:
    """Kills this process before one of its calls that change the disk."""
    left = [calls]

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def struck(*given: object, **named: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **named)

        return struck

    for owner, name in ((os, "fsync"), (os, "open"), (Path, "open"), (Path, "replace"), (Path, "unlink")):
        setattr(owner, name, counted(getattr(owner, name)))


def main(folder: Path) -> None:
    calls, killed = 0, True
    for number in range(BEFORE - 1):
        remember(folder / "before", number)
    while killed:
        calls += 1
        place = folder / str(calls)
        shutil.copytree(folder / "before", place)
        pid = os.fork()
        if pid == 0:
            strike(calls)
            remember(place, BEFORE - 1)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        before, own = knows(place, range(BEFORE - 1)), knows(place, range(BEFORE - 1, BEFORE))
        remember(place, BEFORE)
        after = knows(place, range(BEFORE, BEFORE + 1))
        sys.stdout.write(f"{before} {own} {after}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
