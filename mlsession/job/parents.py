"""Worker processes end with those that started them: their launcher, and the training that started that.

A training that is killed can be started again at once: nobody is left who holds its session.
"""

from __future__ import annotations

import os
import threading

from mlsession.session.liveness import start_time_of

_LOOK_SECONDS = 0.5


def end_with_parents(training: tuple[int, str | None] | None = None) -> None:
    """From now on this process ends at once, as if it were killed, when its parent does, or the `training` process.

    That is given by its number and `start_time_of` it. Nothing needs to be saved: nobody waits for it any more.
    """
    parent = os.getppid()

    def look() -> None:
        pause = threading.Event()
        while os.getppid() == parent and not (training is not None and _is_gone(*training)):
            pause.wait(_LOOK_SECONDS)
        # To a launcher that is still there this is no failure: it would start the workers again.
        os._exit(0)

    threading.Thread(target=look, name="parents", daemon=True).start()


def _is_gone(pid: int, start: str | None) -> bool:
    found = start_time_of(pid)
    return found is not None and found != start
