"""What an index of very many images costs: seconds, and memory beyond a process that has imported what it needs.

    python -m benchmarks.index_scale                              1,000,000 keys
    python -m benchmarks.index_scale --keys 20000 1000000 --output index.json

The keys come page by page, as a bucket gives them, out of a store that makes them up. Measured are the listing alone,
the listing with the index that labelling makes of it, its stored form, its digest, reading it back, and the comparison
of two. `held` is what stays in memory after each step, `peak` the most that it took meanwhile, both in MB and with what
is held from the steps before. Each number of keys has a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[1])

import numpy as np
import pyarrow
import pyarrow.compute  # noqa: F401 (what it takes is not counted)

from mlsession.data.index import ImageIndex
from mlsession.data.sources.directories import index_labeled_directories
from mlsession.store.bulk import PAGE
from mlsession.store.memory import MemoryStore
from mlsession.store.protocol import Entry

T = TypeVar("T")
CLASSES = 1_000
_SHUFFLE = 7_919
"""A prime: buckets list in the order of their keys, folders in none."""


class Synthetic(MemoryStore):
    """A store that lists keys which nothing lies under, such as `class0042/photos/IMG_00001042.jpg`."""

    def __init__(self, count: int) -> None:
        super().__init__(url="synthetic://")
        self._count = count

    def list(self, prefix: str = "") -> Iterator[Entry]:
        for first in range(0, self._count, PAGE):
            yield from self._page(range(first, min(first + PAGE, self._count)))

    def _page(self, places: range) -> Sequence[Entry]:
        return [self._entry(place * _SHUFFLE % self._count) for place in places]

    def _entry(self, number: int) -> Entry:
        return Entry(
            key=f"class{number % CLASSES:04}/photos/IMG_{number:08}.jpg",
            size=100_000 + number,
            version=f'"{number * 0x9E3779B97F4A7C15 % 2**128:032x}"',
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one step."""

    seconds: float
    cpu_seconds: float
    held: float
    """MB beyond the imports, once it is done."""
    peak: float
    """MB beyond the imports, at most."""


def measure(count: int) -> dict[str, Cost]:
    """What each step costs, in this process, which should have done nothing else."""
    index_labeled_directories(Synthetic(2 * CLASSES).list(), (), "warm")
    meter, store = _Meter(), Synthetic(count)
    meter.cost("listing", lambda: sum(1 for _ in store.list()))
    index = meter.cost("index", lambda: index_labeled_directories(store.list(), (), "synthetic"))
    data = meter.cost("encode", index.to_bytes)
    meter.cost("digest", lambda: index.digest)
    again = meter.cost("decode", lambda: ImageIndex.from_bytes(data))
    if meter.cost("compare", lambda: index.compare(again)) or len(index) != count:
        raise SystemExit("the index is not what was listed")
    return meter.found


class _Meter:
    """Costs so far, by name."""

    def __init__(self) -> None:
        self.found: dict[str, Cost] = {}
        self._before = _memory("VmRSS")

    def cost(self, name: str, work: Callable[[], T]) -> T:
        """Does some work, and notes what it took."""
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # Forgets the peak so far.
        at, processor = time.perf_counter(), time.process_time()
        result = work()
        self.found[name] = Cost(
            seconds=time.perf_counter() - at,
            cpu_seconds=time.process_time() - processor,
            held=_memory("VmRSS") - self._before,
            peak=_memory("VmHWM") - self._before,
        )
        return result


def _memory(name: str) -> float:
    """A line of this process's status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name}:"))) / 1024


def in_a_process(count: int) -> dict[str, Cost]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.index_scale", "--child", str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    return {name: Cost(**cost) for name, cost in json.loads(done.stdout).items()}


def main(keys: Sequence[int] = (1_000_000,), rounds: int = 1, output: Path | None = None) -> None:
    """Measures each number of keys `rounds` times, and prints medians; writes them to `output`, too, as JSON."""
    found: dict[int, dict[str, dict[str, float]]] = {}
    print(f"{'keys':10} {'step':8} {'seconds':>9} {'CPU s':>7} {'held MB':>9} {'peak MB':>9}")
    for count in keys:
        runs = [in_a_process(count) for _ in range(rounds)]
        found[count] = {name: _medians([run[name] for run in runs]) for name in runs[0]}
        for name, cost in found[count].items():
            numbers = f"{cost['seconds']:9.2f} {cost['cpu_seconds']:7.2f} {cost['held']:9.0f} {cost['peak']:9.0f}"
            print(f"{count:<10,} {name:8} {numbers}", flush=True)
    if output is not None:
        output.write_text(json.dumps(found, indent=1))


def _medians(costs: Sequence[Cost]) -> dict[str, float]:
    names = ("seconds", "cpu_seconds", "held", "peak")
    return {name: float(np.median([getattr(cost, name) for cost in costs])) for name in names}


def _arguments(line: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path, help="a file for the figures, as JSON")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(line)


if __name__ == "__main__":
    given = _arguments(sys.argv[1:])
    if given.child:
        made = measure(given.child)
        print(json.dumps({name: {slot: getattr(cost, slot) for slot in cost.__slots__} for name, cost in made.items()}))
    else:
        main(given.keys, given.rounds, given.output)
