"""What is never made twice: another head on the same images through the cache, and some images more in a session.

    python benchmarks/extraction/again.py --photos FOLDER --count 20000 --grown 5000

Start-up is a training of few images that are in the cache already; what is compared is what each training takes beyond
it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.extraction.measuring import Run, mlsession, run
from benchmarks.extraction.photos import EXAMPLES, make_photos

FEW = 60
HEADS: Mapping[str, tuple[str, ...]] = {
    "logistic, 10 iterations": ("--iterations", "10"),
    "logistic, 50 iterations": ("--iterations", "50"),
    "mlp": ("--classifier", "mlp"),
}
"""Other heads than the first session's."""


def main(photos: Path = EXAMPLES, count: int = 1000, grown: int = 500, added: int = 20) -> None:
    """`count` images for the second session; `added` ones to a session of `grown`."""
    with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as name:
        folder = Path(name)
        _other_heads(photos / "train", folder / "heads", count)
        _more_images(photos / "train", folder / "grown", grown, added)


def _train(data: Path, session: Path, cache: Path | str, *words: str) -> Run:
    return run(
        mlsession("train", data, "--session", session, "--cache", cache, "--validation", "none", "--json", *words)
    )


def _other_heads(source: Path, folder: Path, count: int) -> None:
    many, few = make_photos(source, folder / "many", count), make_photos(source, folder / "few", FEW)
    cache = folder / "cache"
    _train(few, folder / "few-first", cache)
    first = _train(many, folder / "first", cache)
    print(f"first session, {count} images          {first.seconds:7.2f} s, {first.cpu_seconds:7.2f} CPU s")
    for place, (head, words) in enumerate(HEADS.items()):
        start = _train(few, folder / f"few-{place}", cache, *words)
        second = _train(many, folder / f"second-{place}", cache, *words)
        beyond = max(second.seconds - start.seconds, 0.001)
        print(
            f"second, {head:26} {second.seconds:7.2f} s, start-up {start.seconds:5.2f} s, beyond it {beyond:6.2f} s: "
            f"{(first.seconds - start.seconds) / beyond:6.1f}x faster"
        )


def _more_images(source: Path, folder: Path, count: int, added: int) -> None:
    data = make_photos(source, folder / "photos", count)
    few = make_photos(source, folder / "few", FEW)
    session = folder / "session"
    first = _train(data, session, "none")
    make_photos(source, data, count + added, first=count)
    again = _train(data, session, "none", "--on-modified-data", "update")
    _train(few, folder / "few-first", folder / "cache")
    start = _train(few, folder / "few-second", folder / "cache")
    print(
        f"{added} images added to {count:6}         {again.seconds:7.2f} s, start-up {start.seconds:5.2f} s, "
        f"beyond it {again.seconds - start.seconds:6.2f} s (all of them: {first.seconds:.2f} s)"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=EXAMPLES)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--grown", type=int, default=500)
    parser.add_argument("--added", type=int, default=20)
    main(**vars(parser.parse_args()))
