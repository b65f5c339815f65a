"""From the start of a process to the first decoded photo and the first features, beyond `import torch` alone.

    python benchmarks/extraction/start.py --rounds 7

Each command runs in a fresh process that notes when a photo was first decoded, when features were first there, and
which of the heavy libraries it had imported by its end. Prediction is of one photo, with the model just trained.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

from benchmarks.extraction.measuring import Run, interleaved, mlsession, run, spread
from benchmarks.extraction.photos import EXAMPLES, make_photos

HEAVY = (
    *("torch", "torchvision", "timm", "pytorch_lightning", "coremltools", "albumentations", "pandas", "pyarrow"),
    *("openvino", "sklearn", "scipy", "matplotlib"),
)
IMAGES = 60
OUTPUT = "the measured command ended; "


def noted(began: float, words: Sequence[str]) -> None:
    """Runs the command line in this process, and says when things first happened, in seconds after `began`.

    `began` is of the monotonic clock, which all processes of a machine share.
    """
    first: dict[str, float] = {}
    from mlsession.extractors.running.batched import BatchedExtractor
    from mlsession.images import decode

    def noting(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def note(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            first.setdefault(what, time.monotonic() - began)
            return result

        return note

    # Before any module takes the function over by its name.
    for name in ("prepare_image", "prepare_wide"):
        setattr(decode, name, noting("decoded", getattr(decode, name)))
    setattr(BatchedExtractor, "extract", noting("features", BatchedExtractor.extract))  # noqa: B010
    from mlsession.cli.__main__ import run as run_command

    code = run_command(words)
    heavy = [name for name in HEAVY if name in sys.modules]
    print(OUTPUT + json.dumps({**first, "modules": len(sys.modules), "heavy": heavy}), flush=True)
    # Threads and libraries have nothing more to do that is measured here.
    os._exit(code)


def main(photos: Path = EXAMPLES, images: int = IMAGES, rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as name:
        folder = Path(name)
        train = make_photos(photos / "train", folder / "train", images)
        photo = next(iter(sorted(train.rglob("*.jpg"))))
        model = folder / "model.safetensors"
        run(mlsession("train", train, "--session", folder / "first", "--cache", "none", "--export", model))

        def child(*words: str | Path) -> Run:
            began = repr(time.monotonic())
            return run([sys.executable, __file__, "--began", began, "--", *(str(word) for word in words)])

        runs = interleaved(
            {
                "import torch": lambda number: run([sys.executable, "-c", "import torch"]),
                "predict": lambda number: run(mlsession("predict", model, photo)),
                "predict, noted": lambda number: child("predict", model, photo),
                "train, noted": lambda number: child(
                    "train", train, "--session", folder / f"session-{number}", "--cache", "none"
                ),
            },
            rounds,
        )
    torch = [one.seconds for one in runs["import torch"]]
    print(f"{'import torch alone':44} {_line(runs['import torch'])}")
    whole = spread([one.seconds - alone for one, alone in zip(runs["predict"], torch, strict=True)])
    print(f"{'predict one photo, whole process':44} {_line(runs['predict'])}, beyond torch {whole}")
    for name in ("predict, noted", "train, noted"):
        notes = [json.loads(one.output.rsplit(OUTPUT, 1)[1]) for one in runs[name]]
        for what in ("decoded", "features"):
            seconds = [note[what] for note in notes]
            beyond = [value - alone for value, alone in zip(seconds, torch, strict=True)]
            label = f"{name.split(',')[0]}: first {'photo decoded' if what == 'decoded' else 'features'}"
            print(f"{label:44} {spread(seconds)}, beyond torch {spread(beyond)}")
        print(f"{name.split(',')[0] + ': at the end':44} {_line(runs[name])}")
        print(f"{'':44} {notes[0]['modules']} modules, of the heavy ones: {', '.join(notes[0]['heavy']) or 'none'}")


def _line(runs: Sequence[Run]) -> str:
    return f"{spread([one.seconds for one in runs])}, peak {spread([one.peak_bytes / 2**20 for one in runs], 'MB', 0)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=EXAMPLES)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    words, began = given.pop("words"), given.pop("began")
    if began is not None:
        noted(began, words)
    else:
        main(**given)
