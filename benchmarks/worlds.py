"""Trainings by several processes, stopped and killed in every way: is the model that of one process, bit for bit?

    python benchmarks/worlds.py [DIR] [kills=3] [seed=0] [tuning=0]

DIR has `train` and `test`, folders with one sub-folder for each class; by default some of the examples' photos are
taken. Every case is a real `mlsession train --devices N` or real launchers of torchrun; how each is disturbed follows
from the seed. The checkpoints of all must be those of one process that nobody disturbs: states, features, metrics.

With `tuning=1` the network is fine-tuned instead, with strategy ddp and with fsdp: the checkpoints must be those of
as many processes that nobody disturbs, to the bit; those of another number, and of numbers that change, must have the
same samples, and metrics within `TOLERANCE`.
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
TUNING = (
    *("--fine-tune", "--epochs", "2", "--batch-size", "9", "--unfreeze", "2", "--validation", "0.2", "--tune", "off"),
    *("--fine-tune-option", "mixup=0.2", "--fine-tune-option", "ema=0.9", "--fine-tune-option", "keep=always"),
)
TURNS = 2 * (8 + 1)
"""Steps and looks at the validation photos, of the 90 photos that there are by default."""
TOLERANCE = 1e-3
"""Of metrics, relative."""
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
    """Two launchers with one rendezvous, each with a worker; one of all is killed."""
    trainings.finish(session, "--create-only")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("worker", str(session), "--cache", "none", "--checkpoint-interval", "1")
    launcher = ("--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--rdzv-backend=c10d", "--rdzv-id=benchmark")
    line = (*launcher, f"--rdzv-endpoint=127.0.0.1:{port}", "-m", "mlsession", *words)
    nodes = [trainings.run("torch.distributed.run", *line) for _ in range(2)]
    wanted = newest(session) + generator.randint(3, 8)
    until(lambda: newest(session) >= wanted, nodes[0])
    victims = sorted(workers_of(session))
    if victims:
        os.kill(generator.choice(victims), signal.SIGKILL)
    codes = [node.wait(SECONDS) for node in nodes]
    if any(codes):
        raise RuntimeError(f"the launchers ended with {codes}")


CASES = (killed_worker, killed_training, signalled, two_nodes)


def tuned_and_killed(
    trainings: Trainings, session: Path, generator: random.Random, size: int, strategy: str
) -> list[str]:
    """Killed up to three times in the midst of fine-tuning: a random rank, the command, and a random rank again."""
    words = (*TUNING, "--devices", str(size), "--strategy", strategy)
    killed: list[str] = []
    process = trainings.start(session, *words)
    for wanted in sorted(generator.sample(range(1, TURNS - 1), 3)):
        until(lambda wanted=wanted: newest_of(session, "finetuning") >= wanted, process)  # type: ignore[misc]
        victims = sorted(workers_of(session))
        if process.poll() is not None or not victims:
            break
        if len(killed) == 1:
            process.kill()
            process.wait()
            process = trainings.start(session, *words)
            killed.append("train")
        else:
            rank = generator.randrange(len(victims))
            os.kill(victims[rank], signal.SIGKILL)
            killed.append(f"worker {rank}")
    if code := process.wait(SECONDS):
        raise RuntimeError(f"the training ended with {code}, after {killed}")
    return killed


def tuned_by_many(trainings: Trainings, session: Path, generator: random.Random, strategy: str) -> None:
    """One process, then two, then one, each killed in the midst of an epoch."""
    for size, wanted in ((1, generator.randint(1, 6)), (2, generator.randint(8, 15))):
        process = trainings.start(session, *TUNING, "--devices", str(size), "--strategy", strategy)
        until(lambda wanted=wanted: newest_of(session, "finetuning") >= wanted, process)  # type: ignore[misc]
        process.kill()
        process.wait()
    trainings.finish(session, *TUNING)


def newest_of(session: Path, phase: str) -> int:
    """The iteration of the newest checkpoint, if it is of a phase; 0 otherwise."""
    found = commits(session) if newest(session) >= 0 else []
    return int(str(found[-1][1])) if found and found[-1][0] == phase else 0


def fine_tuning(trainings: Trainings, kills: int, seed: int, sizes: tuple[int, ...]) -> None:
    """All about fine-tuning; raises where a model is another."""
    folder = trainings.folder
    seconds = trainings.finish(folder / "tuned-1", *TUNING)
    alone = commits(folder / "tuned-1")
    print(f"fine-tuning, 1 process: {len(alone)} checkpoints in {seconds:.1f} s", flush=True)
    for strategy in ("ddp", "fsdp"):
        for size in sizes:
            name = f"{strategy}-{size}"
            seconds = trainings.finish(folder / name, *TUNING, "--devices", str(size), "--strategy", strategy)
            _compare_closely(f"{size} processes, {strategy}", folder / name, alone, seconds)
            expected = commits(folder / name)
            for number in range(kills):
                session, began = folder / f"{name}-killed-{number}", time.monotonic()
                generator = random.Random(f"{seed} {name} {number}")
                killed = tuned_and_killed(trainings, session, generator, size, strategy)
                what = f"{size} processes, {strategy}, killed {number} ({', '.join(killed)})"
                _compare(what, session, expected, time.monotonic() - began)
        session, began = folder / f"{strategy}-1-2-1", time.monotonic()
        tuned_by_many(trainings, session, random.Random(f"{seed} {strategy} many"), strategy)
        _compare_closely(f"1, 2 and 1 processes, {strategy}", session, alone, time.monotonic() - began)


def main(photos: str = "", kills: int = 3, seed: int = 0, tuning: int = 0, sizes: tuple[int, ...] = (2, 3)) -> None:
    """Runs all, and prints how each went; raises where a model is another."""
    with tempfile.TemporaryDirectory(prefix="mlsession-worlds-") as scratch:
        folder = Path(scratch)
        trainings = Trainings(Path(photos) if photos else _some_photos(folder / "photos"), folder)
        if tuning:
            fine_tuning(trainings, kills, seed, sizes)
            return
        seconds = trainings.finish(folder / "alone")
        expected = commits(folder / "alone")
        print(f"1 process: {len(expected)} checkpoints in {seconds:.1f} s", flush=True)
        for size in sizes:
            seconds = trainings.finish(folder / f"world-{size}", "--devices", str(size))
            _compare(f"{size} processes", folder / f"world-{size}", expected, seconds)
        for case in CASES:
            for number in range(kills):
                session, began = folder / f"{case.__name__}-{number}", time.monotonic()
                case(trainings, session, random.Random(f"{seed} {case.__name__} {number}"))
                _compare(f"{case.__name__} {number}", session, expected, time.monotonic() - began)


def _compare(name: str, session: Path, expected: list[tuple[object, ...]], seconds: float) -> None:
    found = commits(session)
    if found != expected:
        raise RuntimeError(f"{name}: {len(found)} checkpoints, not the {len(expected)} of one process: {session}")
    print(f"{name}: the same, in {seconds:.1f} s and {newest(session) + 1} records", flush=True)


def _compare_closely(name: str, session: Path, expected: list[tuple[object, ...]], seconds: float) -> None:
    """The same turns, of the same samples, and metrics within `TOLERANCE`."""
    found, furthest = commits(session), 0.0
    if [each[:2] for each in found] != [each[:2] for each in expected]:
        raise RuntimeError(f"{name}: {len(found)} checkpoints, not the {len(expected)} of one process: {session}")
    for one, other in zip(found, expected, strict=True):
        mine, others = (dict(each[2]) for each in (one, other))  # type: ignore[call-overload]
        for metric in mine.keys() & others.keys() - {"reused"}:
            furthest = max(furthest, abs(mine[metric] - others[metric]) / max(abs(others[metric]), 1e-6))
    if furthest > TOLERANCE:
        raise RuntimeError(f"{name}: metrics differ by {furthest:.1e}: {session}")
    print(f"{name}: metrics within {furthest:.1e}, in {seconds:.1f} s", flush=True)


def _some_photos(folder: Path) -> Path:
    for part, each in EACH.items():
        for label in LABELS:
            (folder / part / label).mkdir(parents=True)
            source = HERE.parent / "examples" / "data" / part / label
            for photo in sorted(source.iterdir())[:each]:
                shutil.copy2(photo, folder / part / label / photo.name)
    return folder


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if "=" not in word]
    options = {name: int(value) for name, _, value in (word.partition("=") for word in sys.argv[1:]) if value}
    main(*words, **options)  # type: ignore[arg-type]
