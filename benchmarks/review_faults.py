"""What a review finds of faults that were planted, what it finds besides, and what taking its fixes on is worth.

    python -m benchmarks.review_faults PHOTOS [--seeds N] [--swapped SHARE] [--find-only]

PHOTOS has `train` and `test`, each with one sub-folder of photos for each label; they are copied, and stay as they
are. A seed moves SHARE of the training photos to another label, and adds altered copies: of 2 % of them for each of
`ALTERED` to the training photos, and of as many test photos to the training photos of their label. Prints for each
seed how many of these are found, how many findings are none of these (some of which are right: photos of one scene),
and how long the review took. Then what the fixes are worth, as test accuracy with the planted leakage left out: as
planted; with those taken on that are right, as by somebody who looks; with all taken on unseen; and without faults.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageEnhance

import mlsession as ml
from mlsession.randomness import keyed_generator
from mlsession.reviewing.findings import Finding, Reason

SEEDS = 3
SWAPPED = 0.05
COPIED = 0.02


def _half(image: Image.Image) -> Image.Image:
    return image.resize((max(image.width // 2, 1), max(image.height // 2, 1)))


def _cropped(image: Image.Image) -> Image.Image:
    across, down = image.width // 20, image.height // 20
    return image.crop((across, down, image.width - across, image.height - down))


ALTERED: Mapping[str, Callable[[Image.Image], Image.Image]] = MappingProxyType(
    {
        "encoded again": lambda image: image,
        "half the size": _half,
        "cropped by 5 %": _cropped,
        "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
        "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    }
)


class Planted:
    """A copy of the photos with faults."""

    def __init__(self, photos: Path, folder: Path, seed: int, swapped: float) -> None:
        self.train, self.test = folder / "train", folder / "test"
        for part in (self.train, self.test):
            shutil.copytree(photos / part.name, part)
        self.labels = sorted(path.name for path in self.train.iterdir() if path.is_dir())
        self._seed = seed
        self.copies: dict[str, tuple[str, str]] = {}
        """Of each copy in the training photos the kind, and what it was made of."""
        self.leaked: dict[str, tuple[str, str]] = {}
        for kind in ALTERED:
            for name, source, planted in (("copy", self.train, self.copies), ("leak", self.test, self.leaked)):
                self._copy(kind, name, source, planted)
        self.swapped = self._swapped(swapped)
        """By path the right label."""

    def _photos(self, folder: Path) -> list[Path]:
        known = set(self.copies) | set(self.leaked)
        return [
            path
            for path in sorted(folder.rglob("*"))
            if path.suffix.lower() in (".jpg", ".jpeg", ".png") and str(path.relative_to(folder)) not in known
        ]

    def _copy(self, kind: str, name: str, source: Path, planted: dict[str, tuple[str, str]]) -> None:
        generator = keyed_generator(self._seed, "review faults", kind, name)
        count = max(round(COPIED * len(self._photos(self.train))), 1)
        photos = self._photos(source)
        for number, place in enumerate(generator.permutation(len(photos))[:count].tolist()):
            photo = photos[place]
            # Behind all others by name, so that the photo is the earlier one.
            target = (
                self.train / photo.parent.name / f"zz-{name}-{kind.replace(' %', '').replace(' ', '-')}-{number}.jpg"
            )
            written = io.BytesIO()
            with Image.open(photo) as image:
                ALTERED[kind](image.convert("RGB")).save(written, "JPEG", quality=75)
            target.write_bytes(written.getvalue())
            planted[str(target.relative_to(self.train))] = (kind, str(photo.relative_to(source)))

    def _swapped(self, share: float) -> dict[str, str]:
        generator = keyed_generator(self._seed, "review faults", "swap")
        kept = {original for _, original in self.copies.values()}
        photos = [path for path in self._photos(self.train) if str(path.relative_to(self.train)) not in kept]
        found: dict[str, str] = {}
        for place in generator.permutation(len(photos))[: round(share * len(photos))].tolist():
            photo = photos[place]
            others = [label for label in self.labels if label != photo.parent.name]
            target = self.train / others[int(generator.integers(len(others)))] / f"{photo.parent.name}-{photo.name}"
            photo.rename(target)
            found[str(target.relative_to(self.train))] = photo.parent.name
        return found


def trained(data: ml.DataSource, test: Path, session: Path, cache: Path) -> ml.Classifier:
    """A classifier, trained as by default; features are extracted once for all."""
    where = ml.SessionParameters(session, cache=str(cache), on_modified_data="update")
    return ml.Classifier.train(data, None, where, testing=ml.DataSource.labeled_directories(test)).result()


def tables(planted: Planted, report: ml.ReviewReport) -> dict[str, bytes]:
    """Corrections by what they are; all leave out what leaked as planted."""
    errors = {finding.path: finding.suggested for finding in report.findings if finding.reason is Reason.LABEL_ERROR}
    right = {path: label for path, label in errors.items() if planted.swapped.get(path) == label}
    leaks = {finding.path for finding in report.findings if finding.reason is Reason.LEAKAGE}

    def table(labels: Mapping[str, str], removed: set[str]) -> bytes:
        rows = [f"{path},,remove" for path in sorted(removed)]
        rows += [f"{path},{label},keep" for path, label in labels.items() if path not in removed]
        return "\n".join(["path,label,action", *rows]).encode()

    gone = set(planted.leaked)
    return {"planted": table({}, gone), "looked at": table(right, gone), "all taken on": table(errors, gone | leaks)}


def told_labels(planted: Planted, report: ml.ReviewReport) -> str:
    """How many wrong labels were found."""
    errors = {finding.path: finding for finding in report.findings if finding.reason is Reason.LABEL_ERROR}
    hits = errors.keys() & planted.swapped.keys()
    right = sum(errors[path].suggested == planted.swapped[path] for path in hits)
    others = len(errors) - len(hits)
    return f"wrong labels {len(hits)} of {len(planted.swapped)} ({right} with the right one), others {others}"


def told_copies(name: str, planted: Mapping[str, tuple[str, str]], findings: list[Finding]) -> str:
    """How many copies were found, by kind."""
    found = {finding.path for finding in findings} & planted.keys()
    counts = Counter(kind for kind, _ in planted.values())
    hits = Counter(planted[path][0] for path in found)
    by_kind = ", ".join(f"{kind} {hits[kind]}/{counts[kind]}" for kind in counts)
    others = len({finding.path for finding in findings} - planted.keys())
    return f"{name} {len(found)} of {len(planted)} ({by_kind}), others {others}"


def reviewed(planted: Planted, folder: Path, cache: Path, seed: int) -> ml.ReviewReport:
    """Prints what a review of the session of one seed finds."""
    source = ml.DataSource.labeled_directories(planted.train)
    trained(source, planted.test, folder / "session", cache)
    began, worked = time.perf_counter(), time.process_time()
    report = ml.review(folder / "session")
    seconds, work = time.perf_counter() - began, time.process_time() - worked
    reasons = (Reason.DUPLICATE, Reason.NEAR_DUPLICATE, Reason.CONFLICT)
    copies = [finding for finding in report.findings if finding.reason in reasons]
    leaks = [finding for finding in report.findings if finding.reason is Reason.LEAKAGE]
    print(f"seed {seed}: {report.images['training']} training and {report.images['test']} test images")
    print(f"  {told_labels(planted, report)}")
    print(f"  {told_copies('copies', planted.copies, copies)}")
    print(f"  {told_copies('leaked', planted.leaked, leaks)}")
    print(f"  review: {seconds:.1f} s, {work:.1f} s of processors", flush=True)
    return report


def worth(planted: Planted, report: ml.ReviewReport, folder: Path, cache: Path) -> list[float]:
    """Prints the test accuracies with the corrections of `tables`."""
    source, accuracies = ml.DataSource.labeled_directories(planted.train), {}
    for name, table in tables(planted, report).items():
        (folder / "fixes.csv").write_bytes(table)
        corrected = source.corrected(folder / "fixes.csv")
        accuracies[name] = trained(corrected, planted.test, folder / "session", cache).testing_metrics.accuracy
    told = ", ".join(f"{accuracy:.4f} {name}" for name, accuracy in accuracies.items())
    print(f"  test accuracy {told}", flush=True)
    return list(accuracies.values())


def main(photos: str, seeds: int = SEEDS, swapped: float = SWAPPED, find_only: bool = False) -> None:
    """Measures."""
    found = []
    with tempfile.TemporaryDirectory(prefix="mlsession-review-") as name:
        folder = Path(name)
        for seed in range(seeds):
            (folder / str(seed)).mkdir()
            planted = Planted(Path(photos), folder / str(seed), seed, swapped)
            report = reviewed(planted, folder / str(seed), folder / "cache", seed)
            if not find_only:
                found.append(worth(planted, report, folder / str(seed), folder / "cache"))
        if find_only:
            return
        clean = ml.DataSource.labeled_directories(Path(photos) / "train")
        best = trained(clean, Path(photos) / "test", folder / "clean", folder / "cache").testing_metrics.accuracy
    before, looked, after = np.mean(found, axis=0).tolist()
    print(
        f"mean test accuracy: {before:.4f} planted, {looked:.4f} looked at, {after:.4f} all taken on, "
        f"{best:.4f} without faults"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--swapped", type=float, default=SWAPPED)
    parser.add_argument("--find-only", action="store_true", help="do not train with the fixes")
    given = parser.parse_args()
    main(str(given.photos), given.seeds, given.swapped, given.find_only)
