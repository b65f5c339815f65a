"""Processes that are measured from outside, and the figures of several rounds of them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process took, imports and all."""

    seconds: float
    """From its start to its end."""
    cpu_seconds: float
    """User and system, of the process and of all children that it waited for."""
    peak_bytes: int
    """Resident memory of the largest single process: workers of a `DataLoader` come on top."""
    output: str
    """What it wrote to standard output."""


class Failed(Exception):
    """A measured process ended with an error; holds what it said."""


def run(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Runs a program to its end, in the repository's root. Raises `Failed`."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            words,
            cwd=REPOSITORY,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        # Waited for by hand, since only this tells what the process took.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        text = output.read().decode(errors="replace")
        if process.returncode != 0:
            said = (errors.read().decode(errors="replace") or text).strip().splitlines()
            raise Failed(f"{' '.join(words)}: exit code {process.returncode}: {' '.join(said[-3:])}")
    return Run(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        # Linux counts kilobytes, macOS bytes.
        peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        output=text,
    )


def mlsession(*words: str | Path) -> list[str]:
    """The command line with these words."""
    return [sys.executable, "-m", "mlsession", *(str(word) for word in words)]


def interleaved(candidates: Mapping[str, Callable[[int], Run]], rounds: int) -> dict[str, list[Run]]:
    """Each candidate once a round, in order, so that a busy spell of the machine meets all of them."""
    runs: dict[str, list[Run]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name, candidate in candidates.items():
            runs[name].append(candidate(number))
    return runs


def spread(values: Sequence[float], unit: str = "s", digits: int = 2) -> str:
    """`median (least to most)`."""
    middle, least, most = statistics.median(values), min(values), max(values)
    if len(values) == 1:
        return f"{middle:.{digits}f} {unit}"
    return f"{middle:.{digits}f} {unit} ({least:.{digits}f} to {most:.{digits}f})"


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the rounds' own ratios: both of a round met the same machine."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))
