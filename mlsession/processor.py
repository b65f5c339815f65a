"""What the processor can do, as far as it decides how networks are run and to the bit what they give."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")

_TOLD = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Instruction sets that the libraries choose their kernels by, in rising order."""
_BFLOAT16 = frozenset(("avx512_bf16", "amx_bf16"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """A kind of processor."""

    machine: str
    """As `platform.machine` says: "x86_64", "AMD64", "arm64", ..."""
    sets: tuple[str, ...] = ()
    """Of its instruction sets those that matter here; none where the system does not tell."""

    @property
    def name(self) -> str:
        """For a numerics id: "x86_64 avx2 avx512f"."""
        return " ".join((self.machine, *self.sets))

    @property
    def is_x86(self) -> bool:
        return self.machine.lower() in ("x86_64", "amd64")

    @property
    def has_bfloat16(self) -> bool:
        """Whether it multiplies bfloat16 faster than float32."""
        return not _BFLOAT16.isdisjoint(self.sets)


@cache
def this_processor() -> Processor:
    """The one that runs this process; its instruction sets are known on Linux only."""
    text = _CPUINFO.read_text() if _CPUINFO.is_file() else ""
    return Processor(machine=platform.machine(), sets=told_sets(text))


def told_sets(cpuinfo: str) -> tuple[str, ...]:
    """The instruction sets that matter, of what /proc/cpuinfo says of the first core."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            flags = frozenset(value.split())
            return tuple(each for each in _TOLD if each in flags)
    return ()


def usable_processors() -> int:
    """How many this process may use: by its affinity mask (SLURM, taskset) and its container's quota (Kubernetes).

    At least 1.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = whole_processors(_QUOTA_FILE.read_text() if _QUOTA_FILE.is_file() else "")
    return count if quota is None else max(1, min(count, quota))


def whole_processors(quota: str) -> int | None:
    """Processors that a `cpu.max` file of Linux grants, rounded down: "200000 100000" is 2, "max 100000" no limit."""
    microseconds, _, period = quota.strip().partition(" ")
    if not (microseconds.isdigit() and period.isdigit() and int(period) > 0):
        return None
    return max(1, int(microseconds) // int(period))
