"""How far a training is from what its images must cost: decoding and the network, each measured alone.

    python benchmarks/extraction/floor.py --photos FOLDER --count 2000 --rounds 5

Decoding and the network share the processors, so the floor is the sum of their CPU times. What a training takes an
image is the difference between one of many images and one of few, so that starting up does not count; the head, the
checkpoints and the evaluation do.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

import numpy as np

from benchmarks.extraction.measuring import interleaved, mlsession, run, spread
from benchmarks.extraction.photos import EXAMPLES, make_photos

FEW = 60
"""Images of the short training: enough for every class, and for the validation part to be drawn."""
BATCH = 16
"""Pictures that the network is given at once, as in a training."""


def measure_parts(folder: Path, seconds: float) -> dict[str, float]:
    """CPU milliseconds an image of decoding and of the network: of this process, in one thread, for `seconds` each."""
    from mlsession.extractors.catalog import load_extractor, scene_print
    from mlsession.images.decode import prepare_image

    extractor = load_extractor(scene_print())
    files = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:256]]
    pictures = [prepare_image(data, "photo", extractor.input_side) for data in files[:BATCH]]
    batch = np.stack([pictures[place % len(pictures)] for place in range(BATCH)])
    extractor.extract(batch)

    def decode(turn: int) -> int:
        prepare_image(files[turn % len(files)], "photo", extractor.input_side)
        return 1

    def forward(turn: int) -> int:
        return len(extractor.extract(batch))

    return {"decode": _cost(decode, seconds), "network": _cost(forward, seconds)}


def _cost(work: Callable[[int], int], seconds: float) -> float:
    """CPU milliseconds an image; `work` tells how many it did."""
    done, turn, began, end = 0, 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        done += work(turn)
        turn += 1
    return 1000 * (time.process_time() - began) / done


def main(photos: Path = EXAMPLES, count: int = 1000, rounds: int = 3, seconds: float = 5.0, width: int = 0) -> None:
    """`count` photos to train on, as they are or (`width`) enlarged; `seconds` for each part alone."""
    with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as name:
        folder = Path(name)
        many = make_photos(photos / "train", folder / "many", count, width or None)
        few = make_photos(photos / "train", folder / "few", min(FEW, count // 2), width or None)

        def train(data: Path, number: int) -> list[str]:
            return mlsession("train", data, "--session", folder / f"{data.name}-{number}", "--cache", "none", "--json")

        runs = interleaved(
            {
                "parts": lambda number: run(
                    [sys.executable, __file__, "--parts", str(many), "--seconds", str(seconds)]
                ),
                "few": lambda number: run(train(few, number)),
                "many": lambda number: run(train(many, number)),
            },
            rounds,
        )
    extra = count - min(FEW, count // 2)
    parts = [json.loads(one.output) for one in runs["parts"]]
    floors = [one["decode"] + one["network"] for one in parts]
    costs = [
        1000 * (many.cpu_seconds - few.cpu_seconds) / extra for few, many in zip(runs["few"], runs["many"], strict=True)
    ]
    _report(parts, floors, costs, [one.seconds for one in runs["few"]])
    walls = [extra / (many.seconds - few.seconds) for few, many in zip(runs["few"], runs["many"], strict=True)]
    print(f"beyond start-up, wall      {spread(walls, 'images/s', 1)}")


def _report(
    parts: Sequence[dict[str, float]], floors: Sequence[float], costs: Sequence[float], starts: Sequence[float]
) -> None:
    for name in ("decode", "network"):
        print(f"{name + ' alone':26} {spread([one[name] for one in parts], 'CPU ms an image')}")
    print(f"{'a whole training':26} {spread(costs, 'CPU ms an image')}, beyond start-up")
    distances = [cost / floor for cost, floor in zip(costs, floors, strict=True)]
    print(f"{'distance to the floor':26} {spread(distances, 'x')}")
    print(f"{'a training of few images':26} {spread(starts)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=EXAMPLES)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--width", type=int, default=0, help="enlarge the photos to so many pixels")
    parser.add_argument("--parts", type=Path, help="only measure decoding and the network alone, on these photos")
    given = vars(parser.parse_args())
    if (parts_of := given.pop("parts")) is not None:
        print(json.dumps(measure_parts(parts_of, given["seconds"])))
    else:
        main(**given)
