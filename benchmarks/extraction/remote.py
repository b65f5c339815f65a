"""Pictures that are far away: how long workers wait for bytes, and what reading takes.

    python benchmarks/extraction/remote.py --photos FOLDER --count 1000 --latency 0.1

Extraction as a training does it (read, decode, network), without a session: from a store in this process, of which each
read takes `latency` seconds longer, and from a real S3 server on loopback. That server is Python, and on the same
processors: it bounds its own row. A local folder is there to compare with.

`wait` is the part of the workers' time in which they had nothing to work on, after the first `warm_up` pictures (all
of a start waits: nothing can be there yet). The first row of the S3 server is with a handle for each reader, as it was
before one served all of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.extraction.photos import EXAMPLES, make_photos
from mlsession.data.reader import SourceReader
from mlsession.phases.pictures import BATCH, Read, worked_batches
from mlsession.store import LocalStore, MemorySpace, MemoryStore, Store, open_store

WARM_UP = 64
"""Pictures that are not measured."""


class DelayedStore(MemoryStore):
    """A store in this process, of which each `get` takes some time longer; any number of threads may read at once."""

    def __init__(self, space: MemorySpace, seconds: float) -> None:
        super().__init__(space)
        self._seconds = seconds

    @property
    def shares_reads(self) -> bool:
        return True

    def get(self, key: str) -> bytes:
        time.sleep(self._seconds)
        return super().get(key)


class Apart:
    """A store whose readers each open a handle of their own, whatever it says of itself."""

    def __init__(self, store: Store) -> None:
        self.get = store.get
        self.close = store.close


@dataclass(slots=True)
class Meter:
    """What happens while pictures are read and worked on; for any thread."""

    requests: int = 0
    most_requests: int = 0
    held: int = 0
    most_held: int = 0
    waited: float = 0.0
    """Seconds, of all workers together."""
    began: float = 0.0
    is_on: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reading(self, read: Callable[[], bytes]) -> bytes:
        """Counts a request while it goes on, and its bytes from then on."""
        with self._lock:
            self.requests += 1
            self.most_requests = max(self.most_requests, self.requests)
        try:
            data = read()
        finally:
            with self._lock:
                self.requests -= 1
        with self._lock:
            self.held += len(data)
            self.most_held = max(self.most_held, self.held)
        return data

    def taking(self, read: Read) -> bytes:
        """Waits for bytes as a worker does."""
        began = time.perf_counter()
        data = read()
        with self._lock:
            self.waited += (time.perf_counter() - max(began, self.began)) if self.is_on else 0.0
            self.held -= len(data)
        return data

    def begin(self) -> None:
        """From here on waiting counts."""
        with self._lock:
            self.began, self.is_on = time.perf_counter(), True


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What one extraction took, warmed up."""

    images_per_second: float
    wait: float
    """The part of the workers' time, 0 to 1."""
    most_requests: int
    most_held: int
    """Bytes read and not taken."""
    cpu_milliseconds: float
    """An image, of this process."""


def extract(keys: Sequence[str], reader: SourceReader, workers: int | None = None, size: int = BATCH) -> Extraction:
    """Reads, decodes and extracts `keys` in batches of `size`; the first `WARM_UP`, or half, are not measured."""
    import numpy as np

    from mlsession.extractors.catalog import load_extractor, scene_print
    from mlsession.images.decode import prepare_image
    from mlsession.processor import usable_processors

    count = workers or usable_processors()
    meter, own = Meter(), threading.local()

    def work(batch: Sequence[tuple[int, Read]]) -> int:
        files = [meter.taking(read) for _, read in batch]
        if not hasattr(own, "extractor"):
            own.extractor = load_extractor(scene_print())
        pictures = [prepare_image(data, "photo", own.extractor.input_side) for data in files]
        own.extractor.extract(np.stack(pictures))
        return len(batch)

    done, warm, began, cpu = 0, min(WARM_UP, len(keys) // 2), 0.0, 0.0

    def read(row: int) -> bytes:
        return meter.reading(lambda: reader.read(keys[row]))

    for number in worked_batches(range(len(keys)), read, work, size, count, reader.opens_shared):
        done += number
        if not meter.is_on and done >= warm:
            warm, began, cpu = done, time.perf_counter(), time.process_time()
            meter.begin()
    seconds = time.perf_counter() - began
    return Extraction(
        images_per_second=(done - warm) / seconds,
        wait=meter.waited / (count * seconds),
        most_requests=meter.most_requests,
        most_held=meter.most_held,
        cpu_milliseconds=1000 * (time.process_time() - cpu) / (done - warm),
    )


def opening_cost(open_store: Callable[[], Store], key: str) -> tuple[float, float]:
    """CPU seconds of this process from nothing to the first bytes through a handle; and those of a second read."""
    began = time.process_time()
    with closing(open_store()) as store:
        store.get(key)
        first = time.process_time()
        store.get(key)
        return first - began, time.process_time() - first


@contextmanager
def places(photos: Path, latency: float) -> Iterator[dict[str, Callable[[], Store]]]:
    """The same photos in each place, by what it is called."""
    from tests.servers.latency import LatencyProxy
    from tests.servers.s3 import S3Server

    space, here = MemorySpace(), LocalStore(photos)
    memory = MemoryStore(space)
    with ExitStack() as stack:
        server = stack.enter_context(S3Server())
        url, options = server.new_bucket_url(), server.storage_options
        far = {**options, "endpoint_url": stack.enter_context(LatencyProxy(server.endpoint_url, latency)).endpoint_url}
        bucket = stack.enter_context(closing(open_store(url, options)))
        for entry in here.list():
            data = here.get(entry.key)
            memory.put(entry.key, data)
            bucket.put(entry.key, data)
        delay = f"{1000 * latency:.0f} ms"
        yield {
            "local folder": lambda: LocalStore(photos),
            f"in memory + {delay}": lambda: DelayedStore(space, latency),
            "S3 server, a handle a reader": lambda: _apart(open_store(url, options)),
            "S3 server": lambda: open_store(url, options),
            f"S3 server + {delay}": lambda: open_store(url, far),
        }


def _apart(store: Store) -> Store:
    return Apart(store)  # type: ignore[return-value]


def main(photos: Path = EXAMPLES, count: int = 400, latency: float = 0.1, workers: int | None = None) -> None:
    """`count` photos from each place, `latency` in seconds."""
    with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as name:
        made = make_photos(photos / "train", Path(name), count)
        keys = sorted(entry.key for entry in LocalStore(made).list())
        with places(made, latency) as stores:
            print(f"{count} photos: {'images/s':>19} {'wait':>7} {'at once':>8} {'held':>9} {'CPU ms an image':>16}")
            for place, opened in stores.items():
                with closing(SourceReader(opened)) as reader:
                    took = extract(keys, reader, workers)
                print(
                    f"{place:30} {took.images_per_second:7.1f} {100 * took.wait:6.1f}% {took.most_requests:8} "
                    f"{took.most_held / 2**20:6.1f} MB {took.cpu_milliseconds:16.1f}"
                )
            opened = stores["S3 server"]
            first, again = opening_cost(opened, keys[0])
            print(f"an S3 handle: {first:.3f} CPU s to its first bytes, {1000 * again:.1f} ms for the next ones")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=EXAMPLES)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--workers", type=int, default=None, help="by default one for each processor")
    main(**vars(parser.parse_args()))
