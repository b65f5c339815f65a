"""Trainings by several processes, stopped and killed in every way: is the model that of one process, bit for bit?

    python benchmarks/worlds.py [DIR] [kills=3] [seed=0]

DIR has `train` and `test`, folders with one sub-folder for each class; by default some of the examples' photos are
taken. Every case is a real `mlsession train --devices N` or real launchers of torchrun; how each is disturbed follows
from the seed. The checkpoints of all must be those of one process that nobody disturbs: states, features, metrics.
Fine-tuning: tuned_worlds.py.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import record_number
from mlsession.store import LocalStore

HERE = Path(__file__).parent
LABELS, EACH = ("Banana", "Kiwi", "Lemon"), {"train": 30, "test": 10}
SECONDS = 600.0


class Trainings:
    """Sessions on the same photos, each in a folder of its own."""

    def __init__(self, photos: Path, folder: Path) -> None:
        self._photos = photos
        self.folder = folder

    def start(self, session: Path, *words: str) -> subprocess.Popen[bytes]:
        """`mlsession train` with checkpoints at every step."""
        data = ("train", str(self._photos / "train"), "--test", str(self._photos / "test"), "--session", str(session))
        line = (*data, "--cache", "none", "--checkpoint-interval", "1", "--iterations", "9")
        return self.run("mlsession", *line, *words)

    def run(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        """A module of Python, its output thrown away."""
        line = [sys.executable, "-m", module, *words]
        return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def finish(self, session: Path, *words: str) -> float:
        """Seconds that the command took. Raises where it fails."""
        began = time.monotonic()
        code = self.start(session, *words).wait(SECONDS)
        if code:
            raise RuntimeError(f"train {' '.join(words)} ended with {code}")
        return time.monotonic() - began


def commits(session: Path) -> list[tuple[object, ...]]:
    """All that was saved, without what names the attempt."""
    with closing(LocalStore(session)) as store:
        journal = Journal(store)
        state = journal.load()
        if state is None:
            return []
        return [
            (
                *(entry.phase, entry.iteration, dict(entry.metrics)),
                *([ref.sha256 for ref in entry.states], [ref.sha256 for ref in entry.adds]),
            )
            for entry in journal.checkpoints(state.timeline)
        ]


def newest(session: Path) -> int:
    """The number of the newest record; -1 without any."""
    if not (session / "log").is_dir():
        return -1
    numbers = (record_number(f"log/{path.name}") for path in (session / "log").iterdir())
    return max((number for number in numbers if number is not None), default=-1)


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Waits for something that happens before the process ends."""
    while process.poll() is None and not condition():
        time.sleep(0.01)


def workers_of(session: Path) -> Iterator[int]:
    """The worker processes of a session on this machine, as Linux lists them."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"worker" in words and os.fsencode(session) in words and b"torch.distributed.run" not in words:
                yield int(path.name)


def killed_worker(trainings: Trainings, session: Path, generator: random.Random) -> None:
    """One rank is killed after a random record; the launcher starts all again."""
    process, wanted = trainings.start(session, "--devices", "2"), generator.randint(4, 12)
    until(lambda: newest(session) >= wanted, process)
    victims = sorted(workers_of(session))
    if victims:
        os.kill(generator.choice(victims), signal.SIGKILL)
    if code := process.wait(SECONDS):
        raise RuntimeError(f"the training ended with {code}")


def killed_training(trainings: Trainings, session: Path, generator: random.Random) -> None:
    """The command itself is killed; its workers end, and the same command goes on at once."""
    process, wanted = trainings.start(session, "--devices", "2"), generator.randint(4, 12)
    until(lambda: newest(session) >= wanted, process)
    process.kill()
    process.wait()
    trainings.finish(session, "--devices", "2")


def signalled(trainings: Trainings, session: Path, generator: random.Random) -> None:
    """A batch system's warning: exit 75, then the same command."""
    process, wanted = trainings.start(session, "--devices", "2"), generator.randint(4, 9)
    until(lambda: newest(session) >= wanted, process)
    process.send_signal(signal.SIGUSR1)
    if (code := process.wait(SECONDS)) != 75:
        raise RuntimeError(f"the training that was signalled ended with {code}")
    trainings.finish(session, "--devices", "3")


def two_nodes(trainings: Trainings, session: Path, generator: random.Random) -> None:
    """Two launchers with one rendezvous, each with two workers; one of all is killed."""
    trainings.finish(session, "--create-only")
    wanted = newest(session) + generator.randint(3, 8)
    killed_on_nodes(trainings, session, generator, 2, lambda: newest(session) >= wanted)


def killed_on_nodes(
    trainings: Trainings,
    session: Path,
    generator: random.Random,
    each: int,
    is_time: Callable[[], bool],
    strategy: str = "auto",
) -> None:
    """Two launchers with `each` so many workers train a session that is there; any worker is killed, once it is time.

    Of the workers on a node none may end well, or its launcher would be gone when the other one begins again.
    """
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("worker", str(session), "--cache", "none", "--checkpoint-interval", "1", "--strategy", strategy)
    launcher = ("--nnodes=2", f"--nproc-per-node={each}", "--max-restarts=3", "--rdzv-backend=c10d")
    line = (*launcher, "--rdzv-id=benchmark", f"--rdzv-endpoint=127.0.0.1:{port}", "-m", "mlsession", *words)
    nodes = [trainings.run("torch.distributed.run", *line) for _ in range(2)]
    until(is_time, nodes[0])
    victims = sorted(workers_of(session))
    if victims:
        os.kill(generator.choice(victims), signal.SIGKILL)
    codes = [node.wait(SECONDS) for node in nodes]
    if any(codes):
        raise RuntimeError(f"the launchers ended with {codes}")


CASES = (killed_worker, killed_training, signalled, two_nodes)


def main(photos: str = "", kills: int = 3, seed: int = 0, sizes: tuple[int, ...] = (2, 3)) -> None:
    """Runs all, and prints how each went; raises where a model is another."""
    with tempfile.TemporaryDirectory(prefix="mlsession-worlds-") as scratch:
        folder = Path(scratch)
        trainings = Trainings(Path(photos) if photos else some_photos(folder / "photos"), folder)
        seconds = trainings.finish(folder / "alone")
        expected = commits(folder / "alone")
        print(f"1 process: {len(expected)} checkpoints in {seconds:.1f} s", flush=True)
        for size in sizes:
            seconds = trainings.finish(folder / f"world-{size}", "--devices", str(size))
            compare(f"{size} processes", folder / f"world-{size}", expected, seconds)
        for case in CASES:
            for number in range(kills):
                session, began = folder / f"{case.__name__}-{number}", time.monotonic()
                case(trainings, session, random.Random(f"{seed} {case.__name__} {number}"))
                compare(f"{case.__name__} {number}", session, expected, time.monotonic() - began)


def compare(name: str, session: Path, expected: list[tuple[object, ...]], seconds: float) -> None:
    """Prints that a session has the checkpoints that it should have; raises where it has not."""
    found = commits(session)
    if found != expected:
        raise RuntimeError(f"{name}: {len(found)} checkpoints, not the {len(expected)} of the others: {session}")
    print(f"{name}: the same, in {seconds:.1f} s and {newest(session) + 1} records", flush=True)


def some_photos(folder: Path) -> Path:
    """Of the examples: `train` and `test` in a folder."""
    for part, each in EACH.items():
        for label in LABELS:
            (folder / part / label).mkdir(parents=True)
            source = HERE.parent / "examples" / "data" / part / label
            for photo in sorted(source.iterdir())[:each]:
                shutil.copy2(photo, folder / part / label / photo.name)
    return folder


def given(arguments: list[str]) -> tuple[list[str], dict[str, int]]:
    """The words of a command line, and its `name=number`."""
    words = [word for word in arguments if "=" not in word]
    return words, {name: int(value) for name, _, value in (word.partition("=") for word in arguments) if value}


if __name__ == "__main__":
    texts, numbers = given(sys.argv[1:])
    main(*texts, **numbers)  # type: ignore[arg-type]
