"""What is never made twice: another head on the same images through the cache, and some images more in a session.

    python benchmarks/extraction/again.py --photos FOLDER --count 20000 --grown 5000

Start-up is a training of few images that are in the cache already, with the same options; what is compared is what each
training takes beyond it, in seconds and in CPU seconds, which move less on a machine that does something else, too. The
penalty is tuned by default, which takes longer than all else of a second session: so each head is shown with
`--tune off`, too.
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
    "logistic, 10 iterations, untuned": ("--iterations", "10", "--tune", "off"),
    "logistic, 50 iterations": ("--iterations", "50"),
    "logistic, 50 iterations, untuned": ("--iterations", "50", "--tune", "off"),
    "mlp": ("--classifier", "mlp"),
}
"""Other heads than the first session's."""
TUNING: Mapping[str, tuple[str, ...]] = {"tuned": (), "untuned": ("--tune", "off")}


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


def _beyond(run: Run, start: Run) -> tuple[float, float]:
    """Seconds and CPU seconds of a run beyond those of another."""
    return max(run.seconds - start.seconds, 0.001), max(run.cpu_seconds - start.cpu_seconds, 0.001)


def _other_heads(source: Path, folder: Path, count: int) -> None:
    many, few = make_photos(source, folder / "many", count), make_photos(source, folder / "few", FEW)
    cache = folder / "cache"
    _train(few, folder / "few-first", cache)
    first = _train(many, folder / "first", cache)
    print(f"first session, {count} images                {first.seconds:7.2f} s, {first.cpu_seconds:7.2f} CPU s")
    for place, (head, words) in enumerate(HEADS.items()):
        start = _train(few, folder / f"few-{place}", cache, *words)
        second = _train(many, folder / f"second-{place}", cache, *words)
        beyond, cpu_beyond = _beyond(second, start)
        print(
            f"second, {head:32} {second.seconds:7.2f} s, start-up {start.seconds:5.2f} s, beyond it {beyond:6.2f} s "
            f"and {cpu_beyond:6.2f} CPU s: {_beyond(first, start)[0] / beyond:6.1f}x and "
            f"{_beyond(first, start)[1] / cpu_beyond:6.1f}x faster"
        )


def _more_images(source: Path, folder: Path, count: int, added: int) -> None:
    """Each session gets images that no other one has extracted."""
    data, few = make_photos(source, folder / "photos", count), make_photos(source, folder / "few", FEW)
    cache = folder / "cache"
    firsts = {name: _train(data, folder / name, cache, *words) for name, words in TUNING.items()}
    _train(few, folder / "few-first", cache)
    whole = next(iter(firsts.values()))
    for place, (name, words) in enumerate(TUNING.items()):
        make_photos(source, data, count + (place + 1) * added, first=count + place * added)
        again = _train(data, folder / name, cache, *words, "--on-modified-data", "update")
        start = _train(few, folder / f"few-{name}", cache, *words)
        beyond, cpu_beyond = _beyond(again, start)
        print(
            f"{added} images added to {count}, {name:8} {again.seconds:7.2f} s, start-up {start.seconds:5.2f} s, "
            f"beyond it {beyond:6.2f} s and {cpu_beyond:6.2f} CPU s (all of them: {whole.seconds:.2f} s)"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=EXAMPLES)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--grown", type=int, default=500)
    parser.add_argument("--added", type=int, default=20)
    main(**vars(parser.parse_args()))
