"""Worker processes that end with whoever started them, also when that is killed and can tell nobody."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

_SET_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


def end_with_parent(parent: int) -> None:
    """Ends this process, by SIGKILL where the system can do that, as soon as process `parent`, which started it, has.

    For a process whose parent started it in its main thread. Elsewhere than on Linux only for those that
    `multiprocessing` spawned, by a thread; nothing is done for forks there.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # It has ended before we could say so.
    elif (known := multiprocessing.parent_process()) is not None:
        threading.Thread(target=lambda: (known.join(), os._exit(1)), daemon=True).start()
