"""From pairs and probabilities to what a person should look at; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlsession.data.corrections import Corrections
from mlsession.session.phase import Json

if TYPE_CHECKING:
    from mlsession.reviewing.confident import LabelErrors
    from mlsession.reviewing.heldout import HeldOut
    from mlsession.reviewing.neighbours import Pairs
    from mlsession.reviewing.rows import ReviewRows

ALMOST = 0.9999
"""The most that is said of the similarity of two files that are not the same byte for byte."""


class Reason(StrEnum):
    """Why an image is in a review; in the order that a person should look at them."""

    LABEL_ERROR = "label-error"
    """Another label is likely right."""
    CONFLICT = "conflict"
    """A training image with another label is the same file, or looks the same."""
    LEAKAGE = "leakage"
    """An image to validate or test on is the same file, or looks the same."""
    DUPLICATE = "duplicate"
    """An earlier training image is the same file."""
    NEAR_DUPLICATE = "near-duplicate"
    """An earlier training image looks the same."""
    CORRECTED = "corrected"
    """The session was trained with a correction of it: it is repeated, so that the newest table alone says all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One training image to look at."""

    path: str
    """Relative to the root of the training source."""
    label: str
    """As the session was trained; "" for one that a correction has left out."""
    reason: Reason
    confidence: float
    """0 to 1. Of a label error the probability of the suggested label; of all others the similarity, 1 for the same
    file."""
    suggested: str = ""
    """The label that is likely right; "" where none is likelier than the given one."""
    other: str = ""
    """The image that it was found with, relative to the root of its source."""
    other_source: str = ""
    """"training", "validation" (images of their own) or "test"; "" without another image."""
    given: str | None = None
    """What the data say, if a correction says otherwise; "" where that was not known. None: they say `label`."""

    def to_json(self) -> dict[str, Json]:
        """A JSON object with the same members."""
        return {
            "path": self.path,
            "label": self.label,
            "reason": self.reason.value,
            "confidence": self.confidence,
            "suggested": self.suggested,
            "other": self.other,
            "other_source": self.other_source,
            "given": self.label if self.given is None else self.given,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding by rows of the review."""

    row: int
    reason: Reason
    confidence: float
    suggested: int = -1
    """A class; -1 for none."""
    other: int = -1
    """A row; -1 for none."""


def with_corrections(findings: Iterable[Finding], corrections: Corrections) -> Iterator[Finding]:
    """Findings of images that a session was trained with corrections of, and then the corrections not among them."""
    rows = {row.path: row for row in corrections.rows}
    named: set[str] = set()
    for finding in findings:
        row = rows.get(finding.path)
        named.add(finding.path)
        # One that was not applied says nothing of how the image is labelled.
        applied = row is not None and row.label == finding.label
        yield replace(finding, given=row.given or "") if row is not None and applied else finding
    for row in corrections.rows:
        if row.path not in named:
            yield Finding(
                path=row.path, label=row.label or "", reason=Reason.CORRECTED, confidence=1.0, given=row.given or ""
            )


def groups_of(pairs: Pairs, count: int) -> npt.NDArray[np.int64]:
    """int64 [count]: rows that are similar, directly or by way of others, get the number of the first of them."""
    parents = list(range(count))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        if second < count:
            low, high = sorted((root(first), root(second)))
            parents[high] = low
    return np.array([root(row) for row in range(count)], dtype=np.int64)


def found_errors(errors: LabelErrors, held_out: HeldOut) -> Iterator[Found]:
    """Likely label errors, likeliest first."""
    for place, suggested, confidence in zip(
        errors.rows.tolist(), errors.suggested.tolist(), errors.confidence.tolist(), strict=True
    ):
        row = int(held_out.rows[place])
        yield Found(row=row, reason=Reason.LABEL_ERROR, confidence=confidence, suggested=suggested)


def found_pairs(rows: ReviewRows, pairs: Pairs, held_out: HeldOut | None) -> list[Found]:
    """What similar pictures amount to, by reason, the most similar first.

    A copy of an earlier image is one finding, of the later one; so whoever removes all of these keeps one of each. Two
    images with different labels are a finding each: the suggestion, if there is one, says which is likely wrong. Of a
    training image that leaked the most similar other image is named.
    """
    num_training = rows.num_training
    found: list[Found] = []
    leaked: dict[int, Found] = {}
    copies: dict[int, int] = {}
    """By row the earlier one that it is a copy of."""
    for first, second, shown in zip(
        pairs.first.tolist(), pairs.second.tolist(), pairs.similarity.tolist(), strict=True
    ):
        exact = bool((rows.digests[first] == rows.digests[second]).all())
        similarity = 1.0 if exact else min(shown, ALMOST)
        if second >= num_training:
            if first not in leaked or leaked[first].confidence < similarity:
                leaked[first] = Found(row=first, reason=Reason.LEAKAGE, confidence=similarity, other=second)
        elif rows.labels[first] != rows.labels[second]:
            for row, other in ((first, second), (second, first)):
                suggested = _likelier(rows, held_out, row, other)
                found.append(
                    Found(row=row, reason=Reason.CONFLICT, confidence=similarity, suggested=suggested, other=other)
                )
        elif second not in copies and (exact or first not in copies):
            # Of an image that is a copy itself the same file alone: what it is a copy of might look different.
            copies[second] = first
            reason = Reason.DUPLICATE if exact else Reason.NEAR_DUPLICATE
            found.append(Found(row=second, reason=reason, confidence=similarity, other=first))
    order = list(Reason)
    every = [*found, *leaked.values()]
    return sorted(every, key=lambda each: (order.index(each.reason), -each.confidence, each.row, each.other))


def _likelier(rows: ReviewRows, held_out: HeldOut | None, row: int, other: int) -> int:
    """The label of `other`, if heads that have not seen `row` find it likelier for that than its own; else -1."""
    if held_out is None:
        return -1
    place = int(np.searchsorted(held_out.rows, row))
    if place == len(held_out.rows) or held_out.rows[place] != row:
        return -1
    shares, label = held_out.take(np.array([place]))[0], int(rows.labels[other])
    return label if shares[label] > shares[rows.labels[row]] else -1
