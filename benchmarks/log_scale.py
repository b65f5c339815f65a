"""What a very long log costs: a session of image classification with 100,000 checkpoints, made in a minute.

    python benchmarks/log_scale.py                          on local disk
    python benchmarks/log_scale.py --s3 --checkpoints 3000  on a loopback S3 server, 100 ms away

Prints seconds; on a bucket also how often a request had to wait for the reply to another. The removal is killed
(SIGKILL) at several moments before it may finish.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path.insert(0, str(Path(__file__).parents[1]))

import mlsession as ml
from mlsession.clock import SystemClock
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Outcome
from mlsession.session.opening import OpenOptions, open_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import PhaseState
from mlsession.session.session import TrainingSession
from mlsession.session.watching.tail import SessionTail
from mlsession.session.writer import SessionWriter, Stage
from mlsession.store import Entry, LocalStore, Store, bulk, open_store
from mlsession.testing.long_log import lengthen_log
from mlsession.testing.tiny_extractor import TinyExtractor
from mlsession.training.algorithms import TransferLearning
from mlsession.training.parameters import ModelParameters
from tests.photos import copy_photos
from tests.servers.latency import LatencyProxy
from tests.servers.s3 import S3Server
from tests.session.stores import CountingStore

T = TypeVar("T")
LATENCY_SECONDS = 0.1
COMMITS = 20
KILLS = 5


def main(checkpoints: int = 100_000, s3: bool = False, kills: int = KILLS) -> None:
    """Builds the session and measures it."""
    folder = Path(tempfile.mkdtemp(prefix="log-scale-"))
    try:
        with timed(f"made {checkpoints:,} checkpoints"):
            session = long_session(folder, checkpoints)
        measure_bucket(session) if s3 else measure_disk(session, checkpoints, kills)
    finally:
        shutil.rmtree(folder)


def long_session(folder: Path, checkpoints: int) -> Path:
    """A real training of a few photos, whose last checkpoint is repeated."""
    photos, session = copy_photos(folder / "photos", "train", 5, ("Banana", "Kiwi")), folder / "session"
    where = SessionParameters(session, checkpoint_interval=1, cache=None)
    parameters = ModelParameters(algorithm=TransferLearning(feature_extractor=TinyExtractor()))
    ml.Classifier.train(ml.DataSource.labeled_directories(photos), parameters, where).result()
    lengthen_log(LocalStore(session), checkpoints, Linking(session).put)
    return session


class Linking:
    """Writes files without syncing them; the same bytes again become a link to the file that has them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last: tuple[bytes, Path] | None = None

    def put(self, key: str, data: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._last is not None and self._last[0] is data:
            try:
                path.hardlink_to(self._last[1])
                return
            except OSError:
                pass  # A file has as many names as its disk allows.
        path.write_bytes(data)
        if key.startswith("blobs/"):
            self._last = (data, path)


def measure_disk(session: Path, checkpoints: int, kills: int) -> None:
    """Everything on local disk, the removal last."""
    store = LocalStore(session)
    for _ in range(3):
        state = done("open", lambda: Journal(store).load())
    assert state is not None
    for words in (["--help"], ["status", str(session)], ["status", "--json", str(session)]):
        done(f"mlsession {' '.join(words[:-1]) or words[0]}", partial(command, *words))
    done("list all checkpoints", lambda: Journal(store).checkpoints(state.timeline))
    done("attach", lambda: SessionTail(store, lambda event: None))
    writer = done("open for training", lambda: opened(store))
    seconds = [elapsed(partial(writer.commit, stage(number)))[0] for number in range(COMMITS)]
    print(f"{'commit, fsync counted':32} {sum(seconds) / COMMITS:8.3f} s, at most {max(seconds):.3f} s")
    writer.close(Outcome.INTERRUPTED, "")
    with TrainingSession(lambda: LocalStore(session), SessionParameters(session)) as looking:
        found = done("verify", looking.verify)
    print(f"    {found.checkpoints:,} checkpoints, {len(found.problems)} problems")
    measure_removal(session, checkpoints - checkpoints // 100, kills)


def measure_removal(session: Path, count: int, kills: int) -> None:
    """Removes the first `count` checkpoints, in processes of which all but the last are killed."""
    began = time.perf_counter()
    for number in range(kills):
        child = start_removal(session, count)
        try:
            child.wait(timeout=4.0 + 3.0 * number)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
    child = start_removal(session, count)
    assert child.wait() == 0
    seconds = time.perf_counter() - began
    with TrainingSession(lambda: LocalStore(session), SessionParameters(session)) as looking:
        left = looking.num_checkpoints
    print(f"{f'remove {count:,}, killed {kills} times':32} {seconds:8.2f} s, {left:,} are left")


def start_removal(session: Path, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(Path(__file__)), "--remove", str(count), str(session)])


def remove(session: Path, count: int) -> None:
    """Removes all checkpoints of a number up to `count`; in a process of its own."""
    parameters = SessionParameters(session, stale_after=0.01)
    with TrainingSession(lambda: LocalStore(session), parameters) as looking:
        looking.remove_checkpoints(lambda checkpoint: checkpoint.number <= count)
    print(f"    {peak_megabytes():,.0f} MB at most", flush=True)


def peak_megabytes() -> float:
    """The most memory that this process has had, by Linux's count: what `getrusage` says, its parent may have had."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def measure_bucket(session: Path) -> None:
    """Opening, listing and committing on S3, with and without asking for several things at once."""
    with ExitStack() as stack:
        server = stack.enter_context(S3Server())
        proxy = stack.enter_context(LatencyProxy(server.endpoint_url, LATENCY_SECONDS))
        url = f"{server.new_bucket_url()}/session"
        with timed("copied to the bucket"), closing(open_store(url, server.storage_options)) as near:
            for entry in LocalStore(session).list():
                near.put(entry.key, LocalStore(session).get(entry.key))
        far = {**server.storage_options, "endpoint_url": proxy.endpoint_url}
        for name, kind in (("one by one", CountingStore), ("at once", Bucket)):
            with closing(kind(open_store(url, far))) as store:
                list(store.list("probe"))  # Connects.
                print(f"{name}:")
                measure_far(store)


def measure_far(store: CountingStore) -> None:
    """Each of these needs requests that wait for one another."""
    state = waited("open", store, lambda: Journal(store).load())
    assert state is not None
    waited("list all checkpoints", store, lambda: Journal(store).checkpoints(state.timeline))
    writer = waited("open for training", store, lambda: opened(store))
    waited("commit", store, lambda: writer.commit(stage(1)))
    writer.close(Outcome.INTERRUPTED, "")


class Bucket(CountingStore):
    """Counts what is asked for at once as one."""

    def get_many(self, limits: Mapping[str, int]) -> dict[str, bytes]:
        self.calls["get"] += 1
        return bulk.get_many(self.inner, limits)

    def list_page(self, prefix: str, after: str, count: int) -> tuple[Entry, ...] | None:
        self.calls["page"] += 1
        return bulk.list_page(self.inner, prefix, after, count)


def opened(store: Store) -> SessionWriter:
    return open_session(store, SystemClock(), OpenOptions(stale_after=0.01), lambda event: None)[0]


def stage(number: int) -> Stage:
    return Stage(
        phase="training",
        iteration=1_000_000 + number,
        item_count=number,
        metrics={"accuracy": 0.5},
        state=PhaseState({}, {"number": number}),
        adds=(),
        fresh=False,
        ended=False,
        inputs="",
    )


def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "mlsession", *words], check=True, stdout=subprocess.DEVNULL)


def done(what: str, call: Callable[[], T]) -> T:
    """Carries something out, and prints how long it took."""
    seconds, result = elapsed(call)
    print(f"{what:32} {seconds:8.2f} s", flush=True)
    return result


def waited(what: str, store: CountingStore, call: Callable[[], T]) -> T:
    """The same, with the number of requests that waited for one another."""
    before = store.calls.total()
    seconds, result = elapsed(call)
    print(f"{what:32} {seconds:8.2f} s, {store.calls.total() - before:4} requests in turn", flush=True)
    return result


def elapsed(call: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"{what:32} {time.perf_counter() - began:8.2f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checkpoints", type=int, default=100_000, metavar="N")
    parser.add_argument("--s3", action="store_true", help="on a loopback S3 server behind a latency of 100 ms")
    parser.add_argument("--remove", nargs=2, metavar=("COUNT", "SESSION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.remove:
        remove(Path(arguments.remove[1]), int(arguments.remove[0]))
    else:
        main(arguments.checkpoints, arguments.s3)
