"""What is killed: three ways to run a training, each with a result that must be the same to the bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.storm.processes import REPOSITORY, Forking, Launcher, Spawning

PHOTOS = REPOSITORY / "examples" / "data"
LABELS = ("Banana", "Kiwi", "Lemon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A program, and how it is run."""

    name: str
    words: Callable[[str], list[str]]
    """The command line for a session's URL."""
    digest: Callable[[str], str]
    """What must be equal to the bit, out of what the program prints."""
    interval: int
    """Steps between checkpoints."""
    launcher: Callable[[Mapping[str, str]], Launcher]
    """How it is started, given the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much work one unbroken run is."""

    batches: int = 30
    """Of the example."""
    pause: float = 0.004
    """Seconds that each of them waits."""
    photos: tuple[int, int] = (18, 6)
    """Of each label, to train and to test on."""
    iterations: int = 12
    """Of the head."""


def example(size: Size) -> Target:
    """`examples/monte_carlo.py`: the engine alone, no torch."""
    script, interval = str(REPOSITORY / "examples" / "monte_carlo.py"), 5
    options = ["--batches", str(size.batches), "--pause", str(size.pause), "--checkpoint-interval", str(interval)]
    return Target(
        name="example",
        words=lambda url: [script, url, *options],
        digest=lambda output: output.strip(),
        interval=interval,
        launcher=Spawning,
    )


def command(size: Size, folder: Path) -> Target:
    """The whole command line of `mlsession train`, imports and all."""
    return _training("command", size, folder, Spawning)


def forked(size: Size, folder: Path) -> Target:
    """The same in forks of a process that has imported everything."""
    return _training("forked", size, folder, Forking)


def _training(name: str, size: Size, folder: Path, launcher: Callable[[Mapping[str, str]], Launcher]) -> Target:
    interval = 2
    for part, each in zip(("train", "test"), size.photos, strict=True):
        for label in LABELS:
            (folder / part / label).mkdir(parents=True)
            for photo in sorted((PHOTOS / part / label).iterdir())[:each]:
                shutil.copy2(photo, folder / part / label / photo.name)
    options = ["--test", str(folder / "test"), "--iterations", str(size.iterations), "--json"]
    options += ["--checkpoint-interval", str(interval)]
    return Target(
        name=name,
        words=lambda url: ["-m", "mlsession", "train", str(folder / "train"), "--session", url, *options],
        digest=_model_digest,
        interval=interval,
        launcher=launcher,
    )


def _model_digest(output: str) -> str:
    """The model and what it was found to be worth."""
    status = json.loads(output)
    return json.dumps({name: status[name] for name in ("model_digest", "metrics")}, sort_keys=True)
