"""What pairs and probabilities amount to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsession.data.corrections import Correction, Corrections
from mlsession.reviewing.findings import ALMOST, Finding, Found, Reason, found_pairs, groups_of, with_corrections
from mlsession.reviewing.heldout import HeldOut
from mlsession.reviewing.neighbours import Pairs
from mlsession.reviewing.rows import ReviewRows
from tests.reviewing.made import made_rows


def pairs_of(*each: tuple[int, int, float]) -> Pairs:
    first, second, similarity = zip(*sorted(each, key=lambda pair: (pair[1], -pair[2])), strict=True)
    return Pairs(first=np.array(first), second=np.array(second), similarity=np.array(similarity, dtype=np.float32))


def rows_of(*same: tuple[int, int]) -> ReviewRows:
    """Ten training images, five of each of two labels, and two test images; `same` ones have equal contents."""
    rows = made_rows(np.repeat([0, 1, 0], [5, 5, 2]), seed=1, num_test=2)
    digests = rows.digests.copy()
    for first, second in same:
        digests[second] = digests[first]
    return replace(rows, digests=digests)


def test_of_copies_the_first_is_kept() -> None:
    found = found_pairs(rows_of((0, 2)), pairs_of((0, 1, 0.9), (0, 2, 1.0), (1, 2, 0.9)), None)
    assert found == [
        Found(row=2, reason=Reason.DUPLICATE, confidence=1.0, other=0),
        Found(row=1, reason=Reason.NEAR_DUPLICATE, confidence=float(np.float32(0.9)), other=0),
    ]


def test_what_is_only_like_a_copy_is_kept() -> None:
    found = found_pairs(rows_of(), pairs_of((0, 1, 0.9), (1, 2, 0.85)), None)
    assert [(each.row, each.other) for each in found] == [(1, 0)]


def test_the_same_file_as_a_copy_is_one_of_it() -> None:
    """As where there are so many of them that none of the nearest is kept."""
    found = found_pairs(rows_of((1, 2)), pairs_of((0, 1, 0.9), (1, 2, 1.0)), None)
    assert [(each.row, each.other, each.reason) for each in found] == [
        (2, 1, Reason.DUPLICATE),
        (1, 0, Reason.NEAR_DUPLICATE),
    ]


def test_only_the_same_bytes_are_the_same() -> None:
    (found,) = found_pairs(rows_of(), pairs_of((0, 1, 1.0)), None)
    assert (found.reason, found.confidence) == (Reason.NEAR_DUPLICATE, ALMOST)


def test_other_labels_are_a_conflict_of_both() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2]], dtype=np.float32)
    held_out = HeldOut(rows=np.array([3, 7]), labels=np.array([0, 1]), probabilities=shares)
    found = found_pairs(rows_of((3, 7)), pairs_of((3, 7, 1.0)), held_out)
    assert found == [
        Found(row=3, reason=Reason.CONFLICT, confidence=1.0, other=7),
        Found(row=7, reason=Reason.CONFLICT, confidence=1.0, other=3, suggested=0),
    ]
    assert [each.suggested for each in found_pairs(rows_of((3, 7)), pairs_of((3, 7, 1.0)), None)] == [-1, -1]


def test_leakage_names_the_most_similar() -> None:
    found = found_pairs(rows_of(), pairs_of((4, 10, 0.9), (4, 11, 0.95), (5, 11, 0.9)), None)
    assert [(each.row, each.other, each.reason) for each in found] == [
        (4, 11, Reason.LEAKAGE),
        (5, 11, Reason.LEAKAGE),
    ]


def test_groups_are_joined_by_way_of_others() -> None:
    groups = groups_of(pairs_of((0, 3, 1.0), (2, 3, 1.0), (1, 5, 1.0), (4, 10, 1.0)), 6)
    assert groups.tolist() == [0, 1, 0, 0, 4, 1]


def test_corrections_are_repeated() -> None:
    def row(path: str, label: str | None, given: str | None = "cat") -> Correction:
        return Correction(path=path, label=label, line=2, given=given)

    corrections = Corrections(source="t.csv", rows=(row("a", "dog"), row("b", None), row("c", "dog"), row("d", "cow")))
    findings = [
        Finding(path="a", label="dog", reason=Reason.LEAKAGE, confidence=0.9),
        Finding(path="d", label="cat", reason=Reason.LEAKAGE, confidence=0.9),
        Finding(path="e", label="cat", reason=Reason.LEAKAGE, confidence=0.9),
    ]
    found = list(with_corrections(findings, corrections))
    assert [(each.path, each.label, each.given, each.reason) for each in found] == [
        ("a", "dog", "cat", Reason.LEAKAGE),
        ("d", "cat", None, Reason.LEAKAGE),  # Was not applied.
        ("e", "cat", None, Reason.LEAKAGE),
        ("b", "", "cat", Reason.CORRECTED),
        ("c", "dog", "cat", Reason.CORRECTED),
    ]
