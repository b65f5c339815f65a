"""What can change the last bits of a result on a CPU: chosen by rule, set for a while, put back."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlsession.errors import InvalidParameter

MAXIMUM_THREADS = 8
"""More gains little on batches that fit the caches, and fewer are easier to have again on another machine."""

_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def default_threads() -> int:
    """How many intra-op threads a new session uses: the processors this process may use, at most `MAXIMUM_THREADS`.

    "May use" counts the affinity mask (SLURM, taskset) and the container's quota (Kubernetes, Docker), not the
    machine. Decided once and recorded, since another count may change bits.
    """
    quota = _QUOTA_FILE.read_text() if _QUOTA_FILE.is_file() else ""
    return max(1, min(_available_processors(), whole_processors(quota), MAXIMUM_THREADS))


def whole_processors(quota: str) -> int:
    """Processors that a `cpu.max` file of Linux grants, rounded down: "200000 100000" is 2, "max 100000" no limit."""
    microseconds, _, period = quota.strip().partition(" ")
    if not (microseconds.isdigit() and period.isdigit() and int(period) > 0):
        return MAXIMUM_THREADS
    return max(1, int(microseconds) // int(period))


def _available_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def torch_numerics(threads: int) -> Iterator[None]:
    """Run the block with `threads` intra-op threads in the calling thread, then put back what was set.

    torch's count belongs partly to the process and partly to the calling thread, so a job enters this once, in its own
    thread, around its whole life; entering it again with the same count inside costs nothing.
    Raises `InvalidParameter`.
    """
    import torch

    if threads < 1:
        raise InvalidParameter("threads", threads, "must be at least 1")
    before = torch.get_num_threads()
    if before == threads:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cpu_numerics(threads: int) -> dict[str, str | int]:
    """The parts of a numerics id that hold for any float32 computation of torch on this CPU."""
    import torch

    return {
        "backend": f"torch {torch.__version__} cpu",
        "instructions": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "precision": "float32",
        "threads": threads,
    }
