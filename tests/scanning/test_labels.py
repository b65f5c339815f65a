from __future__ import annotations

import unicodedata

import pytest

from mlsession.scanning.finding import Kind, Severity
from mlsession.scanning.labels import label_findings

ENOUGH = {"cat": 30, "dog": 40}


def found(training: dict[str, int], test: dict[str, int] | None = None) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(each.kind.value, each.severity.value, each.labels) for each in label_findings(training, test)]


def test_nothing_is_said_of_what_is_as_it_should_be() -> None:
    assert found(ENOUGH) == []
    assert found(ENOUGH, {"cat": 3, "dog": 1}) == []


def test_numbers() -> None:
    assert found({"a": 9, "b": 10, "c": 24, "d": 25}) == [
        ("tiny_classes", "warning", ("a",)),
        ("small_classes", "note", ("b", "c")),
    ]
    assert found({"a": 40, "b": 159}) == []
    assert found({"a": 40, "b": 160}) == [("imbalance", "note", ("b", "a"))]
    assert found({"a": 40, "b": 400}) == [("imbalance", "warning", ("b", "a"))]
    assert found({"a": 40}) == [("one_class", "error", ("a",))]
    # A class whose images cannot be read is a finding of its own.
    assert found({"a": 40, "b": 40, "c": 0}) == []


@pytest.mark.parametrize(
    ("one", "other", "severity"),
    [
        ("cat", "Cat", "warning"),
        ("red panda", "red  panda", "warning"),
        ("red_panda", "Red-Panda", "warning"),
        ("café", unicodedata.normalize("NFD", "café"), "warning"),
        ("STRASSE", "straße", "warning"),
        ("lemon", "Lemons", "note"),
        ("pea", "peas", None),
        ("boss", "bosss", None),
        ("cat", "cart", None),
    ],
)
def test_labels_that_look_alike(one: str, other: str, severity: str | None) -> None:
    made = label_findings({one: 30, other: 30})
    assert [each.severity for each in made] == ([Severity(severity)] if severity else [])
    assert all(each.kind is Kind.SIMILAR_LABELS and set(each.labels) == {one, other} for each in made)


def test_labels_of_the_test_images() -> None:
    assert found(ENOUGH, {"cat": 2, "Dog": 2}) == [
        ("similar_labels", "warning", ("Dog", "dog")),
        ("unknown_labels", "error", ("Dog",)),
        ("untested_labels", "note", ("dog",)),
    ]


def test_of_many_labels_some_are_named() -> None:
    (finding,) = label_findings({f"class {number}": 3 for number in range(20)})
    assert len(finding.labels) == 20
    assert finding.sentence.count("class ") == 5
    assert "20 classes" in finding.sentence
