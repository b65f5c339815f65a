"""What going on with a session costs, however far it had come and however many images it has; and what it takes of
memory.

    python -m benchmarks.resume_cost                                 20,000 images, features of 1,280
    python -m benchmarks.resume_cost --images 1000 20000 1000000 --dimension 64

Images are many links to a few tiny pictures, and the network is one that takes no time. Sessions are written as
extraction would have written them, up to 0, 50 and 100 % of the images and up to the batch before the last; each is
then resumed by the call that any user would make, in a process of its own, up to its first new step, and the last
two to the end: a few iterations of training, and evaluation. Seconds are those beyond `import torch`. `phase` is
when the phase begins; `table`, how long it takes to read all features back (in the two cases that go to the end);
`listing`, to list the folder, which nothing can save. Memory is the peak of the resident set (`VmHWM`, with libraries
and mapped files) and of what is not in any file (`RssAnon`, looked at every 20 ms).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

import mlsession as ml
from mlsession.clock import SystemClock
from mlsession.events import PhaseStarted, Progressed
from mlsession.phases.features import load_features
from mlsession.randomness import keyed_generator
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, open_session, require_session
from mlsession.session.phase import Json, Phase, PhaseState
from mlsession.session.session import TrainingSession
from mlsession.session.writer import SessionWriter, Stage
from mlsession.store import LocalStore
from tests.augment.pictures import gradient, png

if TYPE_CHECKING:
    import torch

CLASSES = 10
BATCH = 16
SHARD = 12_000
"""Rows of a commit: what a minute of extraction gives."""
LINKS = 50_000
"""To one file: ext4 allows 65,000."""
ITERATIONS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """An extractor of any dimension that gives zeros at once."""

    dimension: int
    name: str = "benchmark:instant"
    identity: str = "instant"
    input_side: int = 8

    def to_json(self) -> dict[str, Json]:
        return {"kind": "benchmark", "dimension": self.dimension}

    def numerics(self) -> Mapping[str, str | int]:
        return {}

    def extract(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.zeros((len(images), self.dimension), dtype=np.float32)

    def network(self) -> torch.nn.Module:
        raise NotImplementedError

    def load(self) -> Instant:
        return self


def make_images(folder: Path, count: int) -> None:
    """`count` files in folders of ten classes: links to pictures of 8 x 8."""
    for number in range(CLASSES):
        (folder / f"class{number}").mkdir(parents=True)
    for first in range(0, count, LINKS):
        picture = folder.parent / f"picture{first}.png"
        picture.write_bytes(png(gradient(8, 8) ^ np.uint8(first // LINKS)))
        for number in range(first, min(first + LINKS, count)):
            (folder / f"class{number % CLASSES}" / f"{number:08}.png").hardlink_to(picture)


def training(
    folder: Path, session: Path, dimension: int
) -> tuple[ml.DataSource, ml.ModelParameters, ml.SessionParameters]:
    """What a user would call `train` with."""
    parameters = ml.ModelParameters(algorithm=ml.TransferLearning(feature_extractor=Instant(dimension=dimension)))
    where = ml.SessionParameters(
        session, iterations=ITERATIONS, report_interval=1, stale_after=0.0, cache=None, checkpoint_interval=10**6
    )
    return ml.DataSource.labeled_directories(folder), parameters, where


def make_session(folder: Path, session: Path, dimension: int, count: int, done: int) -> None:
    """A session of `count` images that was killed when `done` of them were extracted."""
    ml.Classifier.make_training_session(*training(folder, session, dimension)).close()
    with closing(LocalStore(session)) as store:
        state = require_session(store)
        writer, _ = open_session(store, SystemClock(), OpenOptions(stale_after=0.0), lambda event: None, state)
        for first in range(0, done, SHARD):
            last = min(first + SHARD, done)
            commit(writer, first, last, count, dimension)
        writer.close(Outcome.INTERRUPTED, "for the benchmark")


def commit(writer: SessionWriter, first: int, last: int, count: int, dimension: int) -> None:
    """Images `first` to `last` as extraction would have left them."""
    generator, rows = keyed_generator(0, "rows", first), last - first
    held_out = np.arange(count) % 20 == 0
    ended = {"validation": held_out.astype(np.uint8), "readable": np.ones(count, dtype=np.uint8)}
    writer.commit(
        Stage(
            phase=Phase.EXTRACTING,
            iteration=-(-last // BATCH),
            item_count=last,
            metrics={},
            state=PhaseState(ended if last == count else {}, {"rows": last, "skipped": []}),
            adds=(
                {
                    "features": generator.random((rows, dimension), dtype=np.float32).astype(np.float16),
                    "view": np.zeros(rows, dtype=np.uint8),
                    "digest": generator.integers(0, 256, (rows, 32), dtype=np.uint8),
                    "readable": np.ones(rows, dtype=np.uint8),
                },
            ),
            fresh=first == 0,
            ended=last == count,
            inputs="",
        )
    )


def resumed(folder: Path, session: Path, dimension: int, to_the_end: bool) -> dict[str, float]:
    """What a process finds that resumes a session; it reads the clock before torch is imported."""
    request = json.dumps([str(folder), str(session), dimension, to_the_end])
    command = [sys.executable, "-m", "benchmarks.resume_cost", "--child", request]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def child(folder: str, session: str, dimension: int, to_the_end: bool) -> dict[str, float]:
    """Resumes, in this process."""
    at = time.perf_counter()
    import torch  # noqa: F401

    seconds = {"import torch": time.perf_counter() - at}
    with watched() as anonymous:
        at, processor = time.perf_counter(), time.process_time()
        job = ml.Classifier.train(*training(Path(folder), Path(session), dimension))
        for event in job.events():
            if isinstance(event, PhaseStarted):
                seconds["phase"] = time.perf_counter() - at
            if isinstance(event, Progressed):
                seconds["first step"] = time.perf_counter() - at
                seconds["its CPU"] = time.process_time() - processor
                break
        if to_the_end:
            job.result()
        else:
            job.cancel()
            job.exception()
        seconds["all"] = time.perf_counter() - at
    found = {"RssAnon": max(anonymous), "VmHWM": memory("VmHWM")}
    at, processor = time.perf_counter(), time.process_time()
    index = ml.DataSource.labeled_directories(folder).index()
    seconds["listing"], seconds["listing CPU"] = time.perf_counter() - at, time.process_time() - processor
    at = time.perf_counter()
    if to_the_end:
        with TrainingSession(lambda: LocalStore(session), ml.SessionParameters()) as known:
            load_features(known.past, index.labels.astype(np.int64))
    seconds["table"] = time.perf_counter() - at
    return {**seconds, **found}


def memory(name: str) -> float:
    """A line of this process's status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name}:"))) / 1024


@contextmanager
def watched() -> Iterator[list[float]]:
    """What is not in any file, in MB, looked at every 20 ms meanwhile."""
    found, done = [memory("RssAnon")], threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            found.append(memory("RssAnon"))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def stages(count: int) -> Iterator[tuple[str, int]]:
    """How far sessions have come, and in images."""
    batches = count // BATCH
    yield "0 %", 0
    yield "50 %", batches // 2 * BATCH
    yield "last batch", (batches - 1) * BATCH
    yield "100 %", count


def main(images: Sequence[int] = (20_000,), dimension: int = 1280, rounds: int = 3) -> None:
    """Makes the sessions of each number of images, and resumes each `rounds` times; prints medians."""
    names = (
        "phase",
        "first step",
        "its CPU",
        "table",
        "listing",
        "listing CPU",
        "import torch",
        "all",
        "RssAnon",
        "VmHWM",
    )
    print(f"{'images':10} {'done':10} {' '.join(f'{name:>12}' for name in names)}")
    for count in images:
        with tempfile.TemporaryDirectory(prefix="resume-cost-") as name:
            folder = Path(name) / "images"
            make_images(folder, count)
            for stage, done in stages(count):
                found = [measured(folder, Path(name), dimension, count, done, number) for number in range(rounds)]
                medians = [float(np.median([each[name] for each in found])) for name in names]
                print(f"{count:<10,} {stage:10} {' '.join(f'{value:12.2f}' for value in medians)}", flush=True)


def measured(folder: Path, place: Path, dimension: int, count: int, done: int, number: int) -> dict[str, float]:
    """One session, made and resumed: at 100 % to its end."""
    session = place / f"session-{done}-{number}"
    make_session(folder, session, dimension, count, done)
    found = resumed(folder, session, dimension, to_the_end=done >= count - BATCH)
    with closing(LocalStore(session)) as store:
        for entry in list(store.list()):
            store.delete(entry.key)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[20_000])
    parser.add_argument("--dimension", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(*json.loads(given.child))))
    else:
        main(given.images, given.dimension, given.rounds)
