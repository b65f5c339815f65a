"""A whole cold training against what people write by hand, interleaved: wall time, CPU time, accuracy.

    python benchmarks/extraction/whole.py                                   500 of the example photos, and large ones
    python benchmarks/extraction/whole.py --photos FOLDER --counts 500 5000 --rounds 5
    python benchmarks/extraction/whole.py --fastai-python VENV/bin/python    where fastai has a venv of its own

FOLDER holds `train/<label>/` and `test/<label>/`. Each candidate is one process from its start to its end: imports,
features of all photos, a head, the accuracy on the test part; ours with checkpoints, without a cache, in a new session.
`tuned malloc` is the script by hand with glibc told to keep freed memory, which is worth 1.7x and which nobody does:
the fair opponent. CPU time moves less than wall time on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.extraction.measuring import Failed, Run, interleaved, median_ratio, mlsession, run, spread
from benchmarks.extraction.photos import EXAMPLES, make_photos

PEERS = Path(__file__).with_name("peers.py")
REFERENCE, FAIR = "by hand, 2 workers", "by hand, tuned malloc"
TUNED = {"MALLOC_MMAP_THRESHOLD_": str(4 * 2**30), "MALLOC_TRIM_THRESHOLD_": str(4 * 2**30)}
TEST_IMAGES = 48
CHOICES = {
    "mlsession": (),
    "mlsession, float32": ("--precision", "float32"),
    "mlsession, torch": ("--backend", "torch"),
    "mlsession, torch, float32": ("--backend", "torch", "--precision", "float32"),
}
"""Ours, by what its command line says."""


def candidates(
    train: Path, test: Path, folder: Path, fastai_python: str, only: Sequence[str]
) -> dict[str, Callable[[int], Run]]:
    """All that is installed, or `only` some beside the two that others are compared with; sessions go to `folder`."""
    found: dict[str, Callable[[int], Run]] = {}
    for name, words in CHOICES.items():
        if known_options(tuple(word for word in words if word.startswith("--"))):
            found[name] = partial(_ours, train, test, folder / name.replace(", ", "-"), words)
    peer = partial(_peer, train, test)
    found[REFERENCE] = partial(peer, sys.executable, "by-hand", {})
    found[FAIR] = partial(peer, sys.executable, "by-hand", TUNED)
    found["timm's loader"] = partial(peer, sys.executable, "timm", {})
    found["Lightning predict"] = partial(peer, sys.executable, "lightning", {})
    if has_fastai(fastai_python):
        found["fastai"] = partial(peer, fastai_python, "fastai", {})
    return {name: run_it for name, run_it in found.items() if not only or name in (*only, REFERENCE, FAIR)}


def known_options(names: tuple[str, ...]) -> bool:
    """Whether `mlsession train` has them all."""
    words = run(mlsession("train", "--help"), {"COLUMNS": "200"}).output.split()
    return all(name in words for name in names)


def has_fastai(python: str) -> bool:
    """Whether that interpreter can import it."""
    try:
        run([python, "-c", "import fastai.vision.all"])
    except (Failed, OSError):
        return False
    return True


def _ours(train: Path, test: Path, session: Path, words: Sequence[str], number: int) -> Run:
    where = ("--test", test, "--session", f"{session}-{number}.mlsession", "--cache", "none")
    return run(mlsession("train", train, *where, "--json", *words))


def _peer(train: Path, test: Path, python: str, way: str, environment: Mapping[str, str], number: int) -> Run:
    return run([python, str(PEERS), way, str(train), str(test)], environment)


def accuracy(output: str) -> float:
    """What ours or a peer printed of the test part."""
    last = json.loads(output.strip().splitlines()[-1])
    return float(last["accuracy"] if "accuracy" in last else last["metrics"]["test"]["accuracy"])


def compare(title: str, train: Path, test: Path, rounds: int, fastai_python: str, only: Sequence[str] = ()) -> None:
    """Prints a table."""
    images = sum(1 for folder in (train, test) for _ in folder.rglob("*.jpg"))
    with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as folder:
        runs = interleaved(candidates(train, test, Path(folder), fastai_python, only), rounds)
    print(f"{title}: {images} photos, {rounds} rounds; ratios are medians of the rounds' own")
    print(f"{'':26} {'wall':>26} {'CPU ms an image':>26} {'wall':>7} {'CPU':>7} {'fair':>7} {'peak':>8}  accuracy")
    for name, made in runs.items():
        wall, cpu = [one.seconds for one in made], [one.cpu_seconds for one in made]
        ratios = [
            median_ratio([one.seconds for one in runs[REFERENCE]], wall),
            median_ratio([one.cpu_seconds for one in runs[REFERENCE]], cpu),
            median_ratio([one.seconds for one in runs[FAIR]], wall),
        ]
        print(
            f"{name:26} {spread(wall):>26} {spread([1000 * value / images for value in cpu], 'ms', 1):>26} "
            + " ".join(f"{ratio:6.2f}x" for ratio in ratios)
            + f" {statistics.median(one.peak_bytes for one in made) / 2**20:5.0f} MB"
            + f"  {100 * statistics.median(accuracy(one.output) for one in made):.1f} %"
        )
    print()


def main(
    photos: Path = EXAMPLES,
    counts: Sequence[int] = (500,),
    large: int = 32,
    width: int = 4032,
    rounds: int = 2,
    fastai_python: str = sys.executable,
    only: Sequence[str] = (),
) -> None:
    """Compares on `counts` photos as they are, and on `large` of `width` pixels (0: none)."""
    with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as folder:
        here = Path(folder)
        test = make_photos(photos / "test", here / "test", min(TEST_IMAGES, *counts))
        for count in counts:
            train = make_photos(photos / "train", here / f"train-{count}", count)
            compare("as they are", train, test, rounds, fastai_python, only)
        if large:
            train = make_photos(photos / "train", here / "large", large, width)
            test = make_photos(photos / "test", here / "large-test", max(large // 4, 6), width)
            compare(f"{width} x {width * 3 // 4} pixels", train, test, rounds, fastai_python, only)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=EXAMPLES)
    parser.add_argument("--counts", type=int, nargs="+", default=(500,))
    parser.add_argument("--large", type=int, default=32, help="photos of --width pixels; 0: none")
    parser.add_argument("--width", type=int, default=4032)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--fastai-python", default=sys.executable)
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="these alone, as the tables call them")
    main(**vars(parser.parse_args()))
