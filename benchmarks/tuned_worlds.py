"""Fine-tuning by several processes, killed in every way: is the model that of as many that nobody disturbs, to the bit?

    python -m benchmarks.tuned_worlds [DIR] [kills=3] [seed=0]

With strategy ddp and with fsdp, by real commands and real launchers of torchrun, on photos as of worlds.py. How each is
disturbed follows from the seed: a random rank and the command are killed at random steps, and one of two launchers that
share but a rendezvous loses a worker. The checkpoints must be those of as many processes; those of another number, and
of numbers that change from attempt to attempt, must have the same samples, and metrics within `TOLERANCE`.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.worlds import (
    SECONDS,
    Trainings,
    commits,
    compare,
    given,
    killed_on_nodes,
    newest,
    some_photos,
    until,
    workers_of,
)

TUNING = (
    *("--fine-tune", "--epochs", "2", "--batch-size", "9", "--unfreeze", "2", "--validation", "0.2", "--tune", "off"),
    *("--fine-tune-option", "mixup=0.2", "--fine-tune-option", "ema=0.9", "--fine-tune-option", "keep=always"),
)
TURNS = 2 * (8 + 1)
"""Steps and looks at the validation photos, of the 90 photos that there are by default."""
TOLERANCE = 1e-3
"""Of metrics, relative."""


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


def tuned_on_nodes(trainings: Trainings, session: Path, generator: random.Random, strategy: str) -> None:
    """Two launchers, each with a worker; one of both is killed in the midst of fine-tuning."""
    trainings.finish(session, *TUNING, "--create-only")
    wanted = generator.randrange(1, TURNS - 1)
    killed_on_nodes(trainings, session, generator, 1, lambda: newest_of(session, "finetuning") >= wanted, strategy)


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
                compare(what, session, expected, time.monotonic() - began)
            if size == 2:
                session, began = folder / f"{name}-nodes", time.monotonic()
                tuned_on_nodes(trainings, session, random.Random(f"{seed} {name} nodes"), strategy)
                compare(f"2 nodes, {strategy}, a worker killed", session, expected, time.monotonic() - began)
        session, began = folder / f"{strategy}-1-2-1", time.monotonic()
        tuned_by_many(trainings, session, random.Random(f"{seed} {strategy} many"), strategy)
        _compare_closely(f"1, 2 and 1 processes, {strategy}", session, alone, time.monotonic() - began)


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


def main(photos: str = "", kills: int = 3, seed: int = 0, sizes: tuple[int, ...] = (2, 3)) -> None:
    """Runs all, and prints how each went; raises where a model is another."""
    with tempfile.TemporaryDirectory(prefix="mlsession-worlds-") as scratch:
        folder = Path(scratch)
        trainings = Trainings(Path(photos) if photos else some_photos(folder / "photos"), folder)
        fine_tuning(trainings, kills, seed, sizes)


if __name__ == "__main__":
    texts, numbers = given(sys.argv[1:])
    main(*texts, **numbers)  # type: ignore[arg-type]
