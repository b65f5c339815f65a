"""What is decided from measurements alone, with measurements that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mlsession.data.index import ImageIndex
from mlsession.errors import InternalError
from mlsession.scanning.copies import copy_findings
from mlsession.scanning.finding import Finding, Kind
from mlsession.scanning.measure import Look, Measured
from mlsession.scanning.pictures import blurred, picture_findings
from mlsession.scanning.table import Table

USUAL = Look(
    width=300,
    height=400,
    format="JPEG",
    orientation=1,
    dark_end=20,
    bright_end=200,
    contrast=50.0,
    sharpness=300.0,
    colour=20.0,
    hash=None,
    direction=None,
)

FAR = (2**32 - 1) << 32
"""A hash that is far from small numbers."""


def hashed(bits: int, angle: float = 0.0) -> Look:
    """With a fingerprint; directions of two angles have their cosine between them."""
    direction = np.zeros(64, dtype=np.float16)
    direction[:2] = np.cos(angle), np.sin(angle)
    return replace(USUAL, hash=bits, direction=direction)


def table(labels: str, looks: Sequence[Look | None], digests: Sequence[int] | None = None, num_test: int = 0) -> Table:
    """Images `0.jpg`, `1.jpg`, ...: a letter of `labels` each, the last `num_test` of them to test on."""

    def index(letters: str) -> ImageIndex:
        classes = tuple(sorted(set(letters)))
        return ImageIndex(
            keys=[f"{place:03}.jpg" for place in range(len(letters))],
            labels=np.array([classes.index(letter) for letter in letters], dtype=np.int32),
            sizes=np.ones(len(letters), dtype=np.int64),
            versions=[""] * len(letters),
            classes=classes,
        )

    names = range(len(looks)) if digests is None else digests
    measured = [
        Measured(digest=bytes([name]) * 32, look=look, reason="" if look else "torn")
        for name, look in zip(names, looks, strict=True)
    ]
    split = len(labels) - num_test
    return Table.of(index(labels[:split]), index(labels[split:]) if num_test else None, measured)


def kinds(findings: Sequence[Finding]) -> dict[Kind, list[list[str]]]:
    return {each.kind: [[image.path for image in group] for group in each.groups] for each in findings}


def test_hashes_that_agree_by_chance_are_no_copies() -> None:
    looks = [hashed(7), hashed(7, 0.3), hashed(7, 1.5), hashed(7 ^ 0b1111111 << 9, 0.2), hashed(7 ^ 0b11111111 << 30)]
    assert kinds(copy_findings(table("aaaaa", looks))) == {Kind.NEAR_DUPLICATES: [["000.jpg", "001.jpg", "003.jpg"]]}


def test_copies_of_a_file_count_once_among_near_ones() -> None:
    looks = [hashed(7), hashed(7), hashed(6), hashed(FAR)]
    assert kinds(copy_findings(table("aaaa", looks, [5, 5, 6, 7]))) == {
        Kind.EXACT_DUPLICATES: [["000.jpg", "001.jpg"]],
        Kind.NEAR_DUPLICATES: [["000.jpg", "002.jpg"]],
    }


def test_a_leak_under_another_label_is_both() -> None:
    looks = [hashed(7), hashed(FAR), hashed(7)]
    assert kinds(copy_findings(table("abb", looks, [5, 6, 5], num_test=1))) == {
        Kind.LEAKED_IMAGES: [["000.jpg", "000.jpg"]],
        Kind.CONFLICTING_DUPLICATES: [["000.jpg", "000.jpg"]],
    }


def test_files_that_cannot_be_read_are_no_copies() -> None:
    made = table("ab", [None, None], [1, 1])
    assert copy_findings(made) == []
    assert set(kinds(picture_findings(made, 224))) == {Kind.UNREADABLE_IMAGES, Kind.UNUSABLE_CLASSES}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"contrast": 1.9, "sharpness": 0.0, "colour": 0.0, "bright_end": 0}, Kind.BLANK_IMAGES),
        ({"bright_end": 50, "sharpness": 0.0, "colour": 0.0}, Kind.DARK_IMAGES),
        ({"bright_end": 51}, None),
        ({"dark_end": 205, "bright_end": 250}, Kind.BRIGHT_IMAGES),
        ({"dark_end": 204}, None),
        ({"width": 223}, Kind.SMALL_IMAGES),
        ({"width": 224}, None),
        ({"width": 1201}, Kind.EXTREME_SHAPES),
        ({"width": 1200}, None),
        ({"colour": 1.4}, Kind.GREY_IMAGES),
        ({"orientation": 8}, Kind.TURNED_IMAGES),
        ({"format": "PNG"}, Kind.WRONG_EXTENSIONS),
        ({"sharpness": 7.0}, Kind.BLURRED_IMAGES),
    ],
)
def test_one_picture_that_stands_out(change: dict[str, float], kind: Kind | None) -> None:
    made = table("aab", [USUAL, replace(USUAL, **change), USUAL])  # type: ignore[arg-type]
    assert kinds(picture_findings(made, 224)) == ({kind: [["001.jpg"]]} if kind else {})


def test_what_is_blurred_depends_on_the_others() -> None:
    sharp = np.linspace(200.0, 400.0, 40)
    assert blurred(np.append(sharp, [19.0, 21.0])).tolist() == [False] * 40 + [True, False]
    soft = np.linspace(5.0, 40.0, 40)
    assert not blurred(soft).any()


def test_a_class_that_colour_gives_away() -> None:
    grey = replace(USUAL, colour=0.0)
    findings = picture_findings(table("a" * 10 + "b" * 10 + "c" * 10, [grey] * 9 + [USUAL] * 21), 224)
    assert [each.labels for each in findings if each.kind is Kind.GREY_CLASSES] == [("a",)]
    assert Kind.GREY_CLASSES not in kinds(picture_findings(table("a" * 10 + "b" * 10, [grey, USUAL] * 10), 224))


@pytest.mark.parametrize("count", [1, 3])
def test_each_image_is_measured_once(count: int) -> None:
    with pytest.raises(InternalError, match="measured in place of 2"):
        table("ab", [USUAL] * count, range(count))
