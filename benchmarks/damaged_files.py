"""What damaged files among good photos change: nothing, but that each of them is named.

    python -m benchmarks.damaged_files PHOTOS DAMAGED

PHOTOS has `train` and `test`, each with one sub-folder of photos for each label. DAMAGED has a table `expected.csv`
with the columns `folder`, `file` and `outcome`; its files whose outcome is "reject" are mixed in with a copy of the
training photos, and so are more of the same kinds that are made here, up to `--files`. Both sets are trained on by the
command itself, without a feature cache, and compared: which files are named, which images are left, their features,
the metrics and the model. Ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import mlsession as ml
from mlsession.cli.__main__ import run

FILES = 30
MOST_APART = 1e-4
"""Between a feature of one set and of the other."""
Features = dict[bytes, npt.NDArray[np.float32]]


def main(photos: str, damaged: str, files: int = FILES, options: tuple[str, ...] = ()) -> bool:
    """Runs it; whether nothing differs. `options` are more of `mlsession train`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copytree(Path(photos) / "train", folder / "mixed")
        named = _mixed_in(folder / "mixed", Path(damaged), files)
        clean = _trained(Path(photos) / "train", Path(photos) / "test", folder / "clean.mlsession", options)
        mixed = _trained(folder / "mixed", Path(photos) / "test", folder / "mixed.mlsession", options)
        features = [_features(folder / f"{name}.mlsession") for name in ("clean", "mixed")]
    return _compare(named, clean, mixed, *features)


def _mixed_in(folder: Path, damaged: Path, files: int) -> set[str]:
    """Puts the files beside the photos of all labels in turn, before, among and after them; their keys."""
    labels, keys = sorted(path.name for path in folder.iterdir()), set[str]()
    found = [*_rejected(damaged), *_made(folder)][:files]
    for number, (name, data) in enumerate(found):
        key = f"{labels[number % len(labels)]}/{'!mz'[number % 3]}-{number}-{name}"
        (folder / key).write_bytes(data)
        keys.add(key)
    return keys


def _rejected(damaged: Path) -> Iterator[tuple[str, bytes]]:
    with (damaged / "expected.csv").open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            if row["outcome"] == "reject":
                yield row["file"], (damaged / row["folder"] / row["file"]).read_bytes()


def _made(folder: Path) -> Iterator[tuple[str, bytes]]:
    """More of the same kinds: some of a photo, of nothing, and of what is no picture."""
    photo = min(path for path in folder.rglob("*.jpg")).read_bytes()
    yield "cut-late.jpg", photo[: len(photo) * 9 // 10]
    yield "zeros.png", bytes(70_000)
    yield "notes.jpg", b"Photos of the second day; see the other folder.\n"
    yield "page.png", b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"
    for tenth in range(8, 1, -1):
        yield f"cut-at-{tenth}.jpg", photo[: len(photo) * tenth // 10]


def _trained(data: Path, test: Path, session: Path, options: tuple[str, ...]) -> dict[str, Any]:
    """What the session says of itself once the command has trained it."""
    _said("train", str(data), "--test", str(test), "--session", str(session), "--cache", "none", *options)
    status: dict[str, Any] = json.loads(_said("status", str(session), "--json"))
    return status


def _said(*words: str) -> str:
    """What the command prints, run in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        code = run(words)
    if code:
        raise RuntimeError(f"mlsession {words[0]} ended with {code}: {errors.getvalue()}")
    return output.getvalue()


def _features(session: Path) -> Features:
    """By content what was extracted of the images that can be read."""
    found: Features = {}
    with ml.Classifier.restore_training_session(ml.SessionParameters(session)) as stored:
        for block in stored.past.rows("extracting"):
            for digest, row, readable in zip(block["digest"], block["features"], block["readable"], strict=True):
                if readable:
                    found[digest.tobytes()] = row.astype(np.float32)
    return found


def _compare(named: set[str], clean: dict[str, Any], mixed: dict[str, Any], before: Features, after: Features) -> bool:
    skipped = {each["path"]: each["reason"] for each in mixed["skipped"]}
    same = before.keys() & after.keys()
    apart = max((float(np.abs(before[key] - after[key]).max()) for key in same), default=float("inf"))
    checks = {
        f"named and left out: {len(named & skipped.keys())} of {len(named)} damaged files": skipped.keys() == named,
        f"the same images: {len(same):,} of {len(before):,} contents, {len(after) - len(same)} others": (
            before.keys() == after.keys()
        ),
        f"features: at most {apart:.1e} apart": apart <= MOST_APART,
        "metrics of all parts: equal": clean["metrics"] == mixed["metrics"] and bool(clean["metrics"]),
        "model: equal bit for bit": clean["model_digest"] == mixed["model_digest"] and bool(clean["model_digest"]),
    }
    for path, reason in sorted(skipped.items()):
        sys.stdout.write(f"  {path}: {reason}\n")
    for text, holds in checks.items():
        sys.stdout.write(f"{'yes' if holds else 'NO '}  {text}\n")
    for part, metrics in mixed["metrics"].items():
        if metrics is None:
            continue  # Of few photos none are held out to validate on.
        sys.stdout.write(f"     {part}: {metrics['count']:,} images, accuracy {metrics['accuracy']:.4f}\n")
    sys.stdout.flush()
    return all(checks.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("photos")
    parser.add_argument("damaged")
    parser.add_argument("--files", type=int, default=FILES)
    given = parser.parse_args()
    sys.exit(0 if main(given.photos, given.damaged, given.files) else 1)
