"""What the labels and their counts say, without a look at any picture; pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from mlsession.display.plain import plain
from mlsession.scanning.finding import Finding, Kind, Severity, number_of

TINY = 10
"""Fewer images of a class than this hardly teach anything: Apple, "Creating an image classifier model", asks for 10."""
SMALL = 25
"""From so many images of a class on the same guide advises to set a fifth aside to test on."""
IMBALANCE = 4.0
"""The largest class to the smallest, from which on it is noted."""
STRONG_IMBALANCE = 10.0
"""From which on it is a warning."""
MOST_NAMED = 5
"""Labels that a sentence names; of more it says how many there are."""
LEAST_PLURAL = 4
"""Letters of a word from which on an added "s" is taken for its plural."""


def label_findings(training: Mapping[str, int], test: Mapping[str, int] | None = None) -> list[Finding]:
    """What stands out in the numbers of images by label; `test` is None where there is no test set.

    Of a label without images only the name is looked at.
    """
    found = [*_too_few(training), *_imbalance(training), *_similar([*training, *(test or {})])]
    return found if test is None else [*found, *_differing(training, test)]


def _too_few(given: Mapping[str, int]) -> Iterator[Finding]:
    counts = {label: count for label, count in given.items() if count}
    if len(counts) == 1:
        yield Finding(
            kind=Kind.ONE_CLASS,
            severity=Severity.ERROR,
            sentence=f"all images have the label {_named(list(counts))}",
            cure="a classifier tells at least two classes apart: add images of another one",
            labels=tuple(counts),
        )
    few = sorted((count, label) for label, count in counts.items())
    tiny = [label for count, label in few if count < TINY]
    small = [label for count, label in few if TINY <= count < SMALL]
    if tiny:
        yield Finding(
            kind=Kind.TINY_CLASSES,
            severity=Severity.WARNING,
            sentence=f"{_classes(tiny, counts)} fewer than {TINY} images",
            cure=f"add images, {SMALL} or more of each class, or leave the class out",
            labels=tuple(tiny),
        )
    if small:
        yield Finding(
            kind=Kind.SMALL_CLASSES,
            severity=Severity.NOTE,
            sentence=f"{_classes(small, counts)} fewer than {SMALL} images",
            cure="more and more varied images make a better model",
            labels=tuple(small),
        )


def _imbalance(counts: Mapping[str, int]) -> Iterator[Finding]:
    present = {label: count for label, count in counts.items() if count}
    if len(present) < 2:
        return
    most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    ratio = present[most] / present[least]
    if ratio >= IMBALANCE:
        yield Finding(
            kind=Kind.IMBALANCE,
            severity=Severity.WARNING if ratio >= STRONG_IMBALANCE else Severity.NOTE,
            sentence=f"class {plain(most)} has {ratio:.1f} times the images of class {plain(least)} "
            f"({present[most]:,} and {present[least]:,})",
            cure="add images of the small classes, and look at precision and recall by class, not at accuracy alone",
            labels=(most, least),
        )


def _similar(labels: list[str]) -> Iterator[Finding]:
    by_spelling: dict[str, set[str]] = {}
    for label in labels:
        by_spelling.setdefault(folded(label), set()).add(label)
    alike = [sorted(group) for group in by_spelling.values() if len(group) > 1]
    if alike:
        yield Finding(
            kind=Kind.SIMILAR_LABELS,
            severity=Severity.WARNING,
            sentence=f"labels differ only by case, spaces or the form of their letters: {_groups(alike)}",
            cure="where they mean the same, give them one name: put their images in one folder",
            labels=tuple(label for group in alike for label in group),
        )
    plurals = [
        sorted({*by_spelling[word], *by_spelling[f"{word}s"]})
        for word in by_spelling
        if len(word) >= LEAST_PLURAL and not word.endswith("s") and f"{word}s" in by_spelling
    ]
    if plurals:
        yield Finding(
            kind=Kind.SIMILAR_LABELS,
            severity=Severity.NOTE,
            sentence=f"labels differ only by an s at the end: {_groups(plurals)}",
            cure="where they mean the same, give them one name: put their images in one folder",
            labels=tuple(label for group in plurals for label in group),
        )


def folded(label: str) -> str:
    """What is left of a label without case, form and spacing: Unicode NFKC, case folding; `_` and `-` as spaces."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
    return " ".join(text.replace("_", " ").replace("-", " ").split())


def _differing(training: Mapping[str, int], test: Mapping[str, int]) -> Iterator[Finding]:
    unknown = sorted(test.keys() - training.keys())
    untested = sorted(training.keys() - test.keys())
    if unknown:
        yield Finding(
            kind=Kind.UNKNOWN_LABELS,
            severity=Severity.ERROR,
            sentence=f"the test images have {number_of(len(unknown), 'label')} that the training images have not: "
            f"{_named(unknown)}",
            cure="correct the label, add training images of it, or remove its test images",
            labels=tuple(unknown),
        )
    if untested:
        yield Finding(
            kind=Kind.UNTESTED_LABELS,
            severity=Severity.NOTE,
            sentence=f"the test images have none of {number_of(len(untested), 'class')}: {_named(untested)}",
            cure="add test images of each class, or nobody knows how well the model tells it",
            labels=tuple(untested),
        )


def _classes(labels: list[str], counts: Mapping[str, int]) -> str:
    """ "class a (3) has", "4 classes (a 3, b 5, ...) have"."""
    if len(labels) == 1:
        return f"class {plain(labels[0])} ({counts[labels[0]]:,}) has"
    shown = ", ".join(f"{plain(label)} {counts[label]:,}" for label in labels[:MOST_NAMED])
    return f"{len(labels):,} classes ({shown}{', ...' if len(labels) > MOST_NAMED else ''}) have"


def _named(labels: list[str]) -> str:
    shown = ", ".join(repr(label) for label in labels[:MOST_NAMED])
    return f"{shown} and {len(labels) - MOST_NAMED:,} more" if len(labels) > MOST_NAMED else shown


def _groups(groups: list[list[str]]) -> str:
    shown = "; ".join(" and ".join(repr(label) for label in group) for group in groups[:MOST_NAMED])
    return f"{shown}; and {len(groups) - MOST_NAMED:,} more" if len(groups) > MOST_NAMED else shown
