"""Single pictures that stand out, by what was measured of each; pure.

| finding        | a picture counts if                                                                             |
|----------------|-------------------------------------------------------------------------------------------------|
| unreadable     | it cannot be read, for a reason that follows from its bytes                                      |
| blank          | its levels deviate by less than 2 of 255 from their mean, in grey and in each channel            |
| dark           | 95 % of its pixels are at most 50 of 255 bright                                                  |
| bright         | 95 % of its pixels are at least 205 of 255 bright                                                |
| blurred        | its sharpness is below 20, and far below that of the other pictures: see `blurred`               |
| small          | its short side is shorter than the extractor's input                                             |
| extreme shape  | it is more than 3 times as long as it is wide                                                    |
| grey           | its channels differ by less than 1.5 of 255 from their mean on average, unless blank, dark, bright|
| turned         | its Exif orientation is not 1                                                                    |
| extension      | its name says another kind of file than its first bytes                                          |

Each picture is in one of blank, dark, bright and blurred at most, the first that fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import MappingProxyType

import numpy as np

from mlsession.display.plain import plain
from mlsession.scanning.finding import Finding, Kind, Severity, number_of
from mlsession.scanning.table import Mask, Rows, Table

LEAST_CONTRAST = 2.0
DARK = 50
BRIGHT = 205
LONGEST_SHAPE = 3.0
LEAST_COLOUR = 1.5
LEAST_SHARPNESS = 20.0
"""Variance of the Laplacian, levels squared; photos that were made unsharp by a Gaussian of 3 pixels lie below."""
LEAST_SCORE = -3.5
"""B. Iglewicz, D. C. Hoaglin, "How to Detect and Handle Outliers", 1993: modified z-scores beyond 3.5 are outliers."""
FEW = 20
"""Pictures, of which it cannot be said what is usual: then `CERTAINLY_BLURRED` decides."""
CERTAINLY_BLURRED = 8.0
GREY_GAP = 0.6
"""Between the share of grey pictures in a class and in all others: from there on colour gives the class away."""
LEAST_CLASS = 10
"""Pictures of a class, and of all others together, that a share is taken of."""

_FORMATS = MappingProxyType(
    {
        **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
        **dict.fromkeys((".tif", ".tiff"), "TIFF"),
        **dict.fromkeys((".bmp", ".dib"), "BMP"),
        **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PNM"),
        **{".png": "PNG", ".gif": "GIF", ".webp": "WebP", ".avif": "AVIF"},
    }
)
"""What the end of a name promises; of other ends nothing is said."""


def picture_findings(table: Table, input_side: int) -> list[Finding]:
    """What stands out; `input_side` is the side in pixels of what the network sees."""
    found = [_unreadable(table), *_class_without_pictures(table), *_looks(table)]
    found += [_small(table, input_side), _extreme(table), _turned(table), _extensions(table)]
    found += [_grey(table), *_grey_classes(table)]
    return [finding for finding in found if finding is not None]


def blurred(sharpness: np.ndarray) -> Mask:
    """Which pictures are unsharp, bool [n], by float [n]: less sharp than any clear photo, and than most of the others.

    The second is the modified z-score of the logarithm, by the median and the median absolute deviation.
    """
    low = sharpness < LEAST_SHARPNESS
    if len(sharpness) < FEW:
        return np.asarray(sharpness < CERTAINLY_BLURRED)
    logarithm = np.log(sharpness + 1e-3)
    middle = np.median(logarithm)
    deviation = max(float(np.median(np.abs(logarithm - middle))), 1e-6)
    return np.asarray(low & (0.6745 * (logarithm - middle) / deviation < LEAST_SCORE))


def _unreadable(table: Table) -> Finding | None:
    if not table.reasons:
        return None
    return Finding(
        kind=Kind.UNREADABLE_IMAGES,
        severity=Severity.WARNING,
        sentence=f"{number_of(len(table.reasons), 'image')} cannot be read, and would be left out",
        cure="replace them with whole copies, or remove them",
        groups=tuple((table.image(row, reason),) for row, reason in table.reasons.items()),
    )


def _class_without_pictures(table: Table) -> Iterator[Finding]:
    empty = sorted(label for label, count in table.counts(test=False).items() if not count)
    if empty:
        yield Finding(
            kind=Kind.UNUSABLE_CLASSES,
            severity=Severity.ERROR,
            sentence=f"none of the training images of {number_of(len(empty), 'class')} can be read: "
            f"{', '.join(map(repr, empty[:5]))}{', ...' if len(empty) > 5 else ''}",
            cure="replace the images, or remove the class",
            labels=tuple(empty),
        )


def _looks(table: Table) -> Iterator[Finding | None]:
    blank, dark, bright = _faint(table)
    clear = np.flatnonzero(table.readable & ~blank & ~dark & ~bright)
    unsharp = clear[blurred(table.columns["sharpness"][clear].astype(np.float64))]
    for kind, rows, what, cure in (
        (Kind.BLANK_IMAGES, np.flatnonzero(blank), "blank: all of one colour", "replace them, or remove them"),
        (Kind.DARK_IMAGES, np.flatnonzero(dark), "so dark that hardly anything is to be seen", _LOOK),
        (Kind.BRIGHT_IMAGES, np.flatnonzero(bright), "so bright that hardly anything is to be seen", _LOOK),
        (Kind.BLURRED_IMAGES, unsharp, "far less sharp than the others", _LOOK),
    ):
        sentence = f"{number_of(len(rows), 'image')} {'is' if len(rows) == 1 else 'are'} {what}"
        yield _of_rows(table, kind, Severity.WARNING, rows, sentence, cure)


def _faint(table: Table) -> tuple[Mask, Mask, Mask]:
    """Which pictures are blank, dark and bright, bool [N] each; none is in two of them."""
    columns = table.columns
    blank = table.readable & (columns["contrast"] < LEAST_CONTRAST)
    seen = table.readable & ~blank
    return blank, seen & (columns["bright_end"] <= DARK), seen & (columns["dark_end"] >= BRIGHT)


_LOOK = "look at them, and remove those that show nothing of their label"


def _small(table: Table, side: int) -> Finding | None:
    short = np.minimum(table.columns["width"], table.columns["height"])
    rows = np.flatnonzero(table.readable & (short < side))
    sentence = f"{_share(table, rows)} smaller than the {side} pixels that the network sees, and enlarged for it"
    cure = "use larger ones where you have them"
    return _of_rows(table, Kind.SMALL_IMAGES, Severity.NOTE, rows, sentence, cure, True)


def _extreme(table: Table) -> Finding | None:
    width, height = table.columns["width"], table.columns["height"]
    rows = np.flatnonzero(table.readable & (np.maximum(width, height) > LONGEST_SHAPE * np.minimum(width, height)))
    sentence = f"{_share(table, rows)} more than {LONGEST_SHAPE:g} times as long as wide; the middle alone is looked at"
    cure = "cut out the part that shows the label"
    return _of_rows(table, Kind.EXTREME_SHAPES, Severity.NOTE, rows, sentence, cure, True)


def _turned(table: Table) -> Finding | None:
    orientation = table.columns["orientation"]
    rows = np.flatnonzero(table.readable & (orientation > 1))
    by_value = sorted(Counter(orientation[rows].tolist()).items())
    values = ", ".join(f"{value}: {count:,}" for value, count in by_value)
    sentence = f"{_share(table, rows)} turned by their Exif orientation ({values}), and taken upright here"
    cure = "nothing is to be done here; programs that ignore Exif show the model other pictures"
    return _of_rows(table, Kind.TURNED_IMAGES, Severity.NOTE, rows, sentence, cure)


def _extensions(table: Table) -> Finding | None:
    found: list[tuple[int, str]] = []
    keys = [(0, table.training.keys), (len(table.training), table.test.keys if table.test is not None else ())]
    kinds = table.columns["format"].tolist()
    for first, names in keys:
        for row, name in enumerate(names, start=first):
            promised = _FORMATS.get(name[name.rfind(".") :].lower())
            if kinds[row] >= 0 and promised is not None and promised != table.formats[kinds[row]]:
                found.append((row, f"it is {table.formats[kinds[row]]}"))
    if not found:
        return None
    return Finding(
        kind=Kind.WRONG_EXTENSIONS,
        severity=Severity.NOTE,
        sentence=f"the names of {number_of(len(found), 'image')} end as if they were of another kind than they are",
        cure="they are read as what they are; rename them for programs that go by the name",
        groups=tuple((table.image(row, detail),) for row, detail in found),
    )


def _grey(table: Table) -> Finding | None:
    rows = np.flatnonzero(_is_grey(table))
    sentence = f"{_share(table, rows)} without colour"
    cure = "see to it that the pictures to come are so as often, or that every class has as many"
    return _of_rows(table, Kind.GREY_IMAGES, Severity.NOTE, rows, sentence, cure)


def _grey_classes(table: Table) -> Iterator[Finding]:
    """Classes that a model could tell by whether a picture has colour, which is not what it should learn."""
    chosen = table.readable & ~table.in_test
    grey, labels = _is_grey(table), table.label_places
    total, total_grey = int(chosen.sum()), int((grey & chosen).sum())
    counts = np.bincount(labels[chosen], minlength=len(table.labels))
    greys = np.bincount(labels[chosen & grey], minlength=len(table.labels))
    odd: list[tuple[str, float, float]] = []
    for label, count, amount in zip(table.labels, counts.tolist(), greys.tolist(), strict=True):
        if count >= LEAST_CLASS and total - count >= LEAST_CLASS:
            here, elsewhere = amount / count, (total_grey - amount) / (total - count)
            if abs(here - elsewhere) >= GREY_GAP:
                odd.append((label, here, elsewhere))
    if odd:
        said = "; ".join(f"{plain(label)} {here:.0%}, the others {elsewhere:.0%}" for label, here, elsewhere in odd[:5])
        yield Finding(
            kind=Kind.GREY_CLASSES,
            severity=Severity.WARNING,
            sentence=f"colour alone would give away {number_of(len(odd), 'class')}: share without colour of {said}",
            cure="add pictures with and without colour to each class, or turn all of them grey",
            labels=tuple(label for label, _, _ in odd),
        )


def _is_grey(table: Table) -> Mask:
    blank, dark, bright = _faint(table)  # There is no telling of these.
    return np.asarray(table.readable & ~(blank | dark | bright) & (table.columns["colour"] < LEAST_COLOUR))


def _share(table: Table, rows: Rows) -> str:
    """ "12 of 400 images are"."""
    return f"{len(rows):,} of {number_of(int(table.readable.sum()), 'image')} {'is' if len(rows) == 1 else 'are'}"


def _of_rows(
    table: Table, kind: Kind, severity: Severity, rows: Rows, sentence: str, cure: str, with_size: bool = False
) -> Finding | None:
    if not len(rows):
        return None
    sizes = zip(table.columns["width"][rows].tolist(), table.columns["height"][rows].tolist(), strict=True)
    details = [f"{width}x{height}" if with_size else "" for width, height in sizes]
    groups = tuple((table.image(row, detail),) for row, detail in zip(rows.tolist(), details, strict=True))
    return Finding(kind=kind, severity=severity, sentence=sentence, cure=cure, groups=groups)
