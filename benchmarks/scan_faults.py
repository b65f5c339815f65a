"""Whether a scan finds what is wrong with photos, and nothing else: faults of every kind planted in a copy.

    python -m benchmarks.scan_faults --photos DIR [--each 5] [--seed 0]

DIR has the folders `train` and `test`, with one sub-folder of photos for each class. They are scanned as they are:
what is found then of single photos and copies is a false alarm, unless a look at it says otherwise. Then a copy is
scanned in which `--each` photos have each fault. Prints for each kind of finding how many photos were planted, how
many of them were found, how many others that have no fault at all and were not found in the first scan, and how many
were found in that one.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter

import mlsession as ml
from mlsession.randomness import keyed_generator
from mlsession.scanning.finding import Kind
from mlsession.scanning.report import ScanReport

Place = tuple[str, str]
"""The source and path of an image."""

TINY_CLASS = "tiny class"
ABOUT_CLASSES = frozenset({Kind.TINY_CLASSES, Kind.GREY_CLASSES, Kind.SIMILAR_LABELS})
PER_IMAGE = tuple(
    kind
    for kind in Kind
    if kind.value.endswith(("_images", "_duplicates", "_shapes", "_extensions"))
)  # fmt: skip
"""Kinds of findings that are about images one by one."""


def jpeg(picture: Image.Image, quality: int = 92, exif: Image.Exif | None = None) -> bytes:
    output = io.BytesIO()
    picture.save(output, format="JPEG", quality=quality, exif=exif or Image.Exif())
    return output.getvalue()


def encoded(picture: Image.Image, form: str) -> bytes:
    output = io.BytesIO()
    picture.save(output, format=form, quality=60)
    return output.getvalue()


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    width, height = picture.size
    return picture.resize((max(round(width * factor), 1), max(round(height * factor), 1)), Image.Resampling.LANCZOS)


def anew(picture: Image.Image, place: int) -> bytes:
    """The same picture as it comes back from elsewhere: smaller, in another format, of low quality, a bit lighter."""
    ways: tuple[Callable[[Image.Image], bytes], ...] = (
        lambda it: jpeg(it, 50),
        lambda it: jpeg(scaled(it, 0.5), 80),
        lambda it: encoded(it, "WEBP"),
        lambda it: encoded(scaled(it, 1.5), "PNG"),
        lambda it: jpeg(ImageEnhance.Brightness(it).enhance(1.15), 85),
    )
    return ways[place % len(ways)](picture)


def strip(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    return picture.crop((0, height // 2, width, height // 2 + max(width // 5, 8)))


def one_colour(picture: Image.Image, place: int) -> Image.Image:
    return Image.new("RGB", picture.size, (37 * place % 256, 91 * place % 256, 17 * place % 256))


def turned(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(picture.transpose(Image.Transpose.ROTATE_90), exif=exif)


def damaged(data: bytes, place: int) -> bytes:
    return (data[: len(data) * 2 // 3], b"", b"<html>404</html>")[place % 3]


IN_PLACE: Mapping[Kind, Callable[[Image.Image, bytes, int], bytes]] = {
    Kind.DARK_IMAGES: lambda it, data, place: jpeg(ImageEnhance.Brightness(it).enhance(0.1)),
    Kind.BRIGHT_IMAGES: lambda it, data, place: jpeg(Image.blend(it, Image.new("RGB", it.size, "white"), 0.9)),
    Kind.BLURRED_IMAGES: lambda it, data, place: jpeg(it.filter(ImageFilter.GaussianBlur(min(it.size) / 50))),
    Kind.BLANK_IMAGES: lambda it, data, place: jpeg(one_colour(it, place)),
    Kind.SMALL_IMAGES: lambda it, data, place: jpeg(scaled(it, 90 / min(it.size))),
    Kind.EXTREME_SHAPES: lambda it, data, place: jpeg(strip(it)),
    Kind.TURNED_IMAGES: lambda it, data, place: turned(it),
    Kind.UNREADABLE_IMAGES: lambda it, data, place: damaged(data, place),
}
"""What is done to a photo of each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A copy of the photos with faults, and what they are."""

    images: Mapping[Kind, frozenset[Place]]
    labels: Mapping[Kind, frozenset[str]]
    moved: frozenset[Place]
    """Photos without a fault that lie elsewhere, for the sake of a label."""

    @property
    def faulty(self) -> frozenset[Place]:
        """All photos with any fault."""
        return frozenset().union(*self.images.values())


def plant(photos: Path, folder: Path, each: int, seed: int = 0) -> Planted:
    """Copies `train` and `test` to `folder`, and plants `each` faults of every kind, of different photos."""
    for part in ("train", "test"):
        shutil.copytree(photos / part, folder / part)
    labels = sorted(path.name for path in (folder / "train").iterdir())
    images: dict[Kind, frozenset[Place]] = {kind: frozenset() for kind in PER_IMAGE}
    grey = _grey_class(folder, labels[0])
    chosen = _shuffled(folder, [label for label in labels if label != labels[0]], seed)
    for kind, change in IN_PLACE.items():
        images[kind] = frozenset(_changed(folder, next(chosen), change, place) for place in range(each))
    images[Kind.WRONG_EXTENSIONS] = frozenset(_renamed(folder, next(chosen)) for _ in range(each))
    for kind, is_near, other in (
        (Kind.EXACT_DUPLICATES, False, False),
        (Kind.NEAR_DUPLICATES, True, False),
        (Kind.CONFLICTING_DUPLICATES, False, True),
        (Kind.CONFLICTING_NEAR_DUPLICATES, True, True),
    ):
        images[kind] = frozenset(
            place
            for number in range(each)
            for place in _copied(folder, next(chosen), number, labels[1:], is_near=is_near, other_label=other)
        )
    tests = sorted(path for label in labels[1:] for path in (folder / "test" / label).iterdir())
    keyed_generator(seed, "scan faults", "test").shuffle(tests)
    for kind, is_near, some in (
        (Kind.LEAKED_IMAGES, False, tests[:each]),
        (Kind.NEARLY_LEAKED_IMAGES, True, tests[each : 2 * each]),
    ):
        images[kind] = frozenset(
            place
            for number, path in enumerate(some)
            for place in _copied(folder, path, number, labels[1:], is_near=is_near, other_label=False)
        )
    images[Kind.GREY_IMAGES] = grey
    some = [next(chosen) for _ in range(each)]
    similar = {some[0].parent.name, some[0].parent.name.swapcase()}
    moved = _moved(folder, some, some[0].parent.name.swapcase())
    moved |= _moved(folder, [next(chosen) for _ in range(each)], TINY_CLASS)
    tiny = {TINY_CLASS, *(similar - set(labels))}
    about = {Kind.GREY_CLASSES: {labels[0]}, Kind.TINY_CLASSES: tiny, Kind.SIMILAR_LABELS: similar}
    return Planted(images=images, labels={kind: frozenset(names) for kind, names in about.items()}, moved=moved)


def _shuffled(folder: Path, labels: Sequence[str], seed: int) -> Iterator[Path]:
    """Training photos, each once."""
    paths = sorted(path for label in labels for path in (folder / "train" / label).iterdir())
    keyed_generator(seed, "scan faults", "train").shuffle(paths)
    return iter(paths)


def _place(folder: Path, path: Path) -> Place:
    part, _, key = path.relative_to(folder).as_posix().partition("/")
    return {"train": "training", "test": "test"}[part], key


def _grey_class(folder: Path, label: str) -> frozenset[Place]:
    for path in (folder / "train" / label).iterdir():
        path.write_bytes(jpeg(Image.open(path).convert("L").convert("RGB")))
    return frozenset(_place(folder, path) for path in (folder / "train" / label).iterdir())


def _changed(folder: Path, path: Path, change: Callable[[Image.Image, bytes, int], bytes], place: int) -> Place:
    data = path.read_bytes()
    path.write_bytes(change(Image.open(io.BytesIO(data)).convert("RGB"), data, place))
    return _place(folder, path)


def _renamed(folder: Path, path: Path) -> Place:
    return _place(folder, path.rename(path.with_suffix(".png")))


def _copied(
    folder: Path, path: Path, number: int, labels: Sequence[str], *, is_near: bool, other_label: bool
) -> tuple[Place, Place]:
    """Puts a copy among the training photos; the photo's place, and the copy's."""
    label = path.parent.name
    if other_label:
        label = labels[(labels.index(label) + 1) % len(labels)]
    # Named as what it is: nothing but the copy is planted.
    data = anew(Image.open(path).convert("RGB"), number) if is_near else path.read_bytes()
    suffix = {b"\x89P": ".png", b"RI": ".webp"}.get(data[:2], ".jpg")
    copy = folder / "train" / label / f"copy-{path.stem}-{number}{'-near' if is_near else ''}{suffix}"
    copy.write_bytes(data)
    return _place(folder, path), _place(folder, copy)


def _moved(folder: Path, paths: Sequence[Path], label: str) -> frozenset[Place]:
    """Moves training photos to a class of their own."""
    (folder / "train" / label).mkdir()
    return frozenset(
        _place(folder, path.rename(folder / "train" / label / f"{number}-{path.name}"))
        for number, path in enumerate(paths)
    )


def scanned(folder: Path) -> ScanReport:
    """The scan of the folders `train` and `test`."""
    source = ml.DataSource.labeled_directories
    return ml.scan(source(folder / "train"), source(folder / "test"))


def found_images(report: ScanReport) -> dict[Kind, set[Place]]:
    """What was found of images one by one."""
    return {
        kind: {(image.source, image.path) for finding in report.of_kind(kind) for image in finding.images}
        for kind in PER_IMAGE
    }


def found_labels(report: ScanReport) -> dict[Kind, set[str]]:
    """What was found of classes."""
    return {kind: {label for finding in report.of_kind(kind) for label in finding.labels} for kind in ABOUT_CLASSES}


def main(photos: Path, each: int = 5, seed: int = 0) -> None:
    """Prints the table."""
    begun = time.perf_counter()
    clean = scanned(photos)
    seconds = time.perf_counter() - begun
    count = clean.num_images
    print(f"{count:,} photos as they are: {seconds:.1f} s, {count / seconds:.0f} a second")
    before = found_images(clean)
    with tempfile.TemporaryDirectory(prefix="scan-faults-") as temporary:
        planted = plant(photos, Path(temporary), each, seed)
        report = scanned(Path(temporary))
    print(f"{report.num_images:,} photos with planted faults, seed {seed}\n")
    print(f"{'kind':<28} {'planted':>8} {'found':>8} {'others':>8} {'as they are':>12}")
    after, anything = found_images(report), planted.faulty | planted.moved
    for kind in PER_IMAGE:
        wanted = planted.images[kind]
        others = after[kind] - anything - before[kind]
        hit = len(wanted & after[kind])
        print(f"{kind.value:<28} {len(wanted):>8,} {hit:>8,} {len(others):>8,} {len(before[kind]):>12,}")
        for place in sorted(wanted - after[kind]):
            print(f"  missed: {place[0]} {place[1]}")
        for place in sorted(others)[:10]:
            print(f"  not planted: {place[0]} {place[1]}")
    names, names_before = found_labels(report), found_labels(clean)
    for kind in sorted(ABOUT_CLASSES):
        named, found, known = planted.labels[kind], names[kind], names_before[kind]
        hit, rest = len(named & found), len(found - named - known)
        print(f"{kind.value:<28} {len(named):>8,} {hit:>8,} {rest:>8,} {len(known):>12,}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="A folder with train and test.")
    parser.add_argument("--each", type=int, default=5, help="Photos with each fault.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    main(given.photos, given.each, given.seed)
