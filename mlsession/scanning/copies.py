"""Images that are there more than once: the same file, or nearly the same picture; pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mlsession.scanning.finding import Finding, Kind, ScannedImage, Severity, number_of
from mlsession.scanning.neighbours import Groups, close_pairs
from mlsession.scanning.table import Mask, Rows, Table

LEAST_AGREEMENT = 0.9
"""The cosine between the coefficients of two pictures (see `fingerprint`) from which on they are near copies. Of the
copies of photos that were saved anew at other sizes and qualities it is above 0.99, in other light above 0.97; of
different photos it was below 0.7."""


_COMPARED_AT_ONCE = 65_536


class Labelled(Protocol):
    """Images by row, as far as it matters here."""

    @property
    def in_test(self) -> Mask:
        """bool [N]: whether they are to test on."""
        ...

    @property
    def label_places(self) -> Rows:
        """[N]: equal for equal labels."""
        ...

    def image(self, row: int) -> ScannedImage:
        """What is said of a row."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """How copies of one sort are spoken of."""

    leaked: Kind
    conflicting: Kind
    plain: Kind
    how: str
    severity: Severity
    """Of copies that have leaked, or that contradict each other."""
    tested: str = "test"
    """What those that have leaked are for."""


_EXACT = _Words(
    leaked=Kind.LEAKED_IMAGES,
    conflicting=Kind.CONFLICTING_DUPLICATES,
    plain=Kind.EXACT_DUPLICATES,
    how="byte for byte",
    severity=Severity.ERROR,
)
_NEAR = _Words(
    leaked=Kind.NEARLY_LEAKED_IMAGES,
    conflicting=Kind.CONFLICTING_NEAR_DUPLICATES,
    plain=Kind.NEAR_DUPLICATES,
    how="nearly, as saved anew or at another size",
    severity=Severity.WARNING,
)


def copy_findings(table: Table) -> list[Finding]:
    """Copies among the images that can be read: across training and test, under different labels, and others."""
    exact, first = exact_groups(table)
    return [*_findings(table, exact, _EXACT), *_findings(table, near_groups(table, first), _NEAR)]


def held_out_copies(images: Labelled, groups: Sequence[Rows]) -> list[Finding]:
    """What there is to say of groups of equal files, where those to validate on stand for those to test on."""
    return list(_findings(images, groups, replace(_EXACT, tested="validation")))


def exact_groups(table: Table) -> tuple[list[Rows], Rows]:
    """The rows of each content that is there twice or more; and of every content the first row, int64 [contents]."""
    rows = np.flatnonzero(table.readable)
    if not len(rows):
        return [], rows
    contents = np.ascontiguousarray(table.columns["digest"][rows]).view("V32").ravel()
    _, first, content, amounts = np.unique(contents, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(content, kind="stable")
    groups = np.split(rows[order], np.cumsum(amounts)[:-1])
    return sorted((group for group in groups if len(group) > 1), key=lambda group: int(group[0])), np.sort(rows[first])


def near_groups(table: Table, rows: Rows) -> list[Rows]:
    """Rows that are near copies of each other, of `rows`: no two the same file."""
    rows = rows[table.columns["has_hash"][rows]]
    hashes, first, place = np.unique(table.columns["hash"][rows], return_index=True, return_inverse=True)
    directions, groups = table.columns["direction"][rows], Groups(len(rows))
    # Pictures of the same hash are compared with the first of them only: a thousand of them make no million pairs.
    same = np.stack([first[place], np.arange(len(rows))], axis=1)
    for pairs in itertools.chain([same], (first[close] for close in close_pairs(hashes))):
        for begin in range(0, len(pairs), _COMPARED_AT_ONCE):
            some = pairs[begin : begin + _COMPARED_AT_ONCE]
            some = some[groups.apart(some)]
            one, other = (directions[some[:, side]].astype(np.float32) for side in (0, 1))
            groups.join(some[np.einsum("ij,ij->i", one, other) >= LEAST_AGREEMENT])
    return [rows[group] for group in groups.several()]


def _findings(table: Labelled, groups: Sequence[Rows], words: _Words) -> Iterator[Finding]:
    in_test, labels = table.in_test, table.label_places
    across = [0 < int(in_test[group].sum()) < len(group) for group in groups]
    torn = [len(np.unique(labels[group])) > 1 for group in groups]
    leaked = [group for group, is_so in zip(groups, across, strict=True) if is_so]
    conflicting = [group for group, is_so in zip(groups, torn, strict=True) if is_so]
    others = [group for group, *known in zip(groups, across, torn, strict=True) if not any(known)]
    if leaked:
        count = sum(int(in_test[group].sum()) for group in leaked)
        sentence = (
            f"{number_of(count, f'{words.tested} image')} {_is(count)} among the training images, too, {words.how}: "
            f"the {words.tested} says more of them than of pictures to come"
        )
        where = f"remove them from the training images, or from the {words.tested} images"
        cure = f"{where}; `mlsession split` keeps copies together"
        yield _finding(table, leaked, words.leaked, words.severity, sentence, cure, first=in_test)
    if conflicting:
        what = number_of(len(conflicting), "picture")
        sentence = f"{what} {_is(len(conflicting))} there under different labels, {words.how}"
        cure = "look which label is right, and remove the images with the others"
        yield _finding(table, conflicting, words.conflicting, words.severity, sentence, cure)
    if others:
        sentence = (
            f"{number_of(len(others), 'picture')} {_is(len(others))} there more than once with the same label, "
            f"{words.how}: {number_of(sum(map(len, others)) - len(others), 'copy')}"
        )
        cure = "remove the copies: they teach nothing new, and count more than once"
        yield _finding(table, others, words.plain, Severity.NOTE, sentence, cure)


def _finding(
    table: Labelled,
    groups: Sequence[Rows],
    kind: Kind,
    severity: Severity,
    sentence: str,
    cure: str,
    first: Mask | None = None,
) -> Finding:
    """With the rows that are True in `first` at the head of their group."""

    def shown(group: Rows) -> tuple[ScannedImage, ...]:
        rows = group if first is None else group[np.argsort(~first[group], kind="stable")]
        return tuple(table.image(row) for row in rows.tolist())

    return Finding(
        kind=kind, severity=severity, sentence=sentence, cure=cure, groups=tuple(shown(group) for group in groups)
    )


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
