"""How a feature cache behaves when it is large: how long it takes to open, and what that takes of memory.

    python benchmarks/cache_scale.py [--rows N] [--s3] [--shuffled N]

Makes a cache of so many rows (1,280 features each) in a folder and, with `--s3`, one of a tenth of them on a loopback
server 100 ms away, which keeps them in memory. Measured are, in a process of its own: opening (the first question), a
question whether a row is there, reading rows in order, by sixteen, and at random, in seconds; and the memory that it
takes beyond a process that only imports, in MB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.storm.places import s3_place
from mlsession.cache.packs import DIGEST_BYTES, PACK_ROWS, encode_pack, pack_key
from mlsession.phases.cache import FeatureCache, cache_folder
from mlsession.randomness import keyed_generator
from mlsession.store import Store, open_store
from tests.servers.s3 import S3Server

WIDTH = 1280
FOLDER = cache_folder("benchmark", {})
LATENCY_SECONDS = 0.1
QUESTIONS = 20_000


def digests(first: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """uint8 [count, 32]: of rows `first` and those after it."""
    named = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(first, first + count))
    return np.frombuffer(named, dtype=np.uint8).reshape(count, DIGEST_BYTES)


def fill(store: Store, rows: int) -> None:
    """Packs of rows, as runs would have written them."""
    noise = keyed_generator(0, "rows").standard_normal((PACK_ROWS, WIDTH)).astype(np.float16)
    for first in range(0, rows, PACK_ROWS):
        count = min(PACK_ROWS, rows - first)
        data = encode_pack(digests(first, count), noise[:count])
        store.put(pack_key(FOLDER, data), data)


def measure(url: str, options: Mapping[str, object], rows: int, shuffled: int) -> dict[str, float]:
    """What a process finds that opens the cache."""
    with closing(open_store(url, options)) as store:  # Imports what reaching the store takes.
        list(store.list("nothing"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failures: list[str] = []
    cache = FeatureCache(lambda: open_store(url, options), FOLDER, failures.append)
    found: dict[str, float] = {}
    began = time.perf_counter()
    cache.contains(bytes(DIGEST_BYTES))
    found["open s"] = time.perf_counter() - began
    found["open MB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    keys = [row.tobytes() for row in digests(rows - min(QUESTIONS, rows), min(QUESTIONS, rows))]
    began = time.perf_counter()
    for key in keys:
        if not cache.contains(key):
            raise SystemExit("a row is missing")
    found["a question µs"] = 1e6 * (time.perf_counter() - began) / len(keys)
    began = time.perf_counter()
    for key in keys:
        cache.get(key)
    found["a row in order µs"] = 1e6 * (time.perf_counter() - began) / len(keys)
    began = time.perf_counter()
    for start in range(0, len(keys), 16):
        cache.lookup(keys[start : start + 16])
    found["a row of 16 µs"] = 1e6 * (time.perf_counter() - began) / len(keys)
    places = keyed_generator(0, "order").permutation(rows)[:shuffled]
    mixed = [hashlib.sha256(str(int(place)).encode()).digest() for place in places]
    began = time.perf_counter()
    for key in mixed:
        if cache.get(key) is None:
            raise SystemExit("a row is missing")
    found["a row at random µs"] = 1e6 * (time.perf_counter() - began) / max(len(mixed), 1)
    found["peak MB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if failures:
        raise SystemExit(failures[0])
    return found


def _in_a_process(url: str, options: Mapping[str, object], rows: int, shuffled: int) -> dict[str, float]:
    given = json.dumps({"url": url, "options": dict(options), "rows": rows, "shuffled": shuffled})
    line = [sys.executable, str(Path(__file__)), "--child", given]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    return {name: float(value) for name, value in json.loads(done.stdout).items()}


def _print(name: str, rows: int, found: Mapping[str, float]) -> None:
    print(f"{name}, {rows:,} rows: " + ", ".join(f"{what} {value:.2f}" for what, value in found.items()), flush=True)


def main(rows: int = 1_000_000, shuffled: int = 20_000, with_s3: bool = False) -> None:
    """Measures and prints."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cache-scale-"))
        fill(open_store(folder), rows)
        _print("folder", rows, _in_a_process(folder, {}, rows, shuffled))
        if with_s3:
            place = stack.enter_context(s3_place(stack.enter_context(S3Server()), LATENCY_SECONDS))
            with closing(open_store(f"{place.root}/cache", place.storage_options)) as store:
                fill(store, rows // 10)
            found = _in_a_process(f"{place.root}/cache", place.far_options, rows // 10, min(shuffled, rows // 10))
            _print("S3 + 100 ms", rows // 10, found)


def _arguments(line: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shuffled", type=int, default=20_000)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--child", default="")
    return parser.parse_args(line)


if __name__ == "__main__":
    given = _arguments(sys.argv[1:])
    if given.child:
        asked = json.loads(given.child)
        print(json.dumps(measure(asked["url"], asked["options"], asked["rows"], asked["shuffled"])))
    else:
        main(given.rows, given.shuffled, given.s3)
