"""The card as text: word for word, read by the Hub's own library, and with nothing in it that is not to be."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml  # type: ignore[import-untyped]
from huggingface_hub import ModelCard

from mlsession.advising.advice import Verdict
from mlsession.cards import card_text, is_sealed, sealed, shortened
from mlsession.cards.facts import place_name
from mlsession.cards.front import front_matter
from mlsession.cards.markdown import escaped, spelled_out_json, yaml_lines
from mlsession.export.compression import CompressionLoss
from mlsession.export.metadata import ModelMetadata
from mlsession.metrics.report import ClassifierMetrics

from .made import LABELS, export, facts

EXPECTED = Path(__file__).with_name("card.md")
"""What `facts` amounts to; look at the difference before you write it anew."""


def front(**fields: object) -> Any:
    lines = front_matter(facts(**fields), [".safetensors", ".onnx", ".mlmodel"])
    assert (lines[0], lines[-1]) == ("---", "---")
    return yaml.safe_load("\n".join(lines[1:-1]))


def test_the_card_is_this() -> None:
    assert card_text(facts()) == EXPECTED.read_text(encoding="utf-8")


def test_the_hub_reads_its_front_matter() -> None:
    data: Any = ModelCard(card_text(facts())).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "mit",
        "mlsession",
        "image-classification",
    )
    assert data.tags == ["image-classification", "mlsession", "onnx", "coreml"]
    assert data.model_name == "Pets_2"
    results = {each.metric_name: each for each in data.eval_results}
    assert results["Accuracy"].metric_value == round(38 / 44, 4)
    assert {each.dataset_split for each in results.values()} == {"test"}
    assert data.metrics == ["accuracy", "f1"]


def test_without_test_images_nothing_is_claimed() -> None:
    assert {"metrics", "model-index"}.isdisjoint(front(metrics={}))
    assert {"metrics", "model-index"}.isdisjoint(front(metrics={"training": facts().metrics["training"]}))
    said = card_text(facts(metrics={"training": facts().metrics["training"]}, advice=None))
    assert "**Only on images that it was trained on" in said
    assert "it was not evaluated" in card_text(facts(metrics={}, data=None, advice=None, training={}, numerics={}))


@pytest.mark.parametrize("step", ["add images, then:", "add images:", "add images"])
def test_a_step_ends_where_its_command_would_follow(step: str) -> None:
    """The command names folders of this machine, so it is not in the card; and dots get no further one."""
    found = facts().advice
    assert found is not None
    advice = replace(found.advice, evidence="fewer than 10 images: dog 8, ...", next_step=step)
    said = card_text(facts(advice=Verdict(advice=advice)))
    assert "- two classes are taken for each other: fewer than 10 images: dog 8, ... To try: add images.\n" in said


def test_a_label_that_is_empty_is_seen() -> None:
    matrix = np.array([[8, 1], [0, 9]])
    labels = ("", " ")
    said = card_text(
        facts(
            classes=labels,
            metrics={"test": ClassifierMetrics(classes=labels, confusion_matrix=matrix, log_loss=0.1)},
            advice=None,
        )
    )
    assert "| *(the label '')* | 9 |" in said
    assert "| *(the label ' ')* | 9 |" in said
    assert "say little: *(the label '')*, *(the label ' ')*." in said
    assert "*(the label '')* taken for *(the label ' ')* (1)" in said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", {}),
        ("Apache 2.0", {"license": "apache-2.0"}),
        ("My own: *terms*", {"license": "other", "license_name": "my-own-terms"}),
        ("***", {"license": "other", "license_name": "other"}),
    ],
)
def test_licences_are_those_that_the_hub_knows_or_others(typed: str, said: dict[str, str]) -> None:
    found = front(metadata=ModelMetadata(license=typed))
    assert {name: value for name, value in found.items() if name.startswith("license")} == said


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("St. Bernard 2", "St. Bernard 2"),
        ("a|b", r"a\|b"),
        ("<script>*_`[x](y)", r"\<script\>\*\_\`\[x\](y)"),
        ("# title\n- x", r"\# title\\n- x"),
        ("- item", r"\- item"),
        ("1. one", r"1\. one"),
        ("1 cat", "1 cat"),
        ("www.x.org http://y a@b", r"www\.x.org http\://y a\@b"),
        ("\u202ereversed", r"\\u202ereversed"),
    ],
)
def test_text_from_outside_is_shown_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_yaml_reads_back_as_it_was() -> None:
    odd = ["no", "1e3", "a: b", "# x", "'", '"', "\u2028", "\x7f", "~", "", "dog", "- x", "é 🐕", "null", "[a]", "f1"]
    value: Any = {"plain": "dog", "list": odd, "deep": {"x": [{"a": text, "b": 1.5} for text in odd]}}
    assert yaml.safe_load("\n".join(yaml_lines(value))) == value


def test_json_in_a_block_cannot_end_it() -> None:
    value = {"```": "a\u2028\x7f\\\x7f`", "x": ["\\x41"]}
    text = spelled_out_json(json.dumps(value, indent=1, ensure_ascii=False))
    assert "`" not in text
    assert text.isprintable() or text.replace("\n", "").isprintable()
    assert json.loads(text) == value


def test_places_become_names() -> None:
    stored: Any = {
        "data": "s3://KEY:SECRET@bucket/team/pets?token=1",
        "deep": [{"weights": "/home/me/w.pth"}, r"C:\Users\me\w.pth", "~/x/y", "zip://in::/data/all.zip"],
        "identity": "timm:resnet18 sha256:00 (x/255-(0.5,0.5))/(0.2,0.2)",
        "number": 1,
    }
    assert shortened(stored) == {
        "data": "pets",
        "deep": [{"weights": "w.pth"}, "w.pth", "y", "in"],
        "identity": stored["identity"],
        "number": 1,
    }
    assert place_name("/") == "data"


def test_a_card_is_known_until_somebody_works_on_it() -> None:
    card = sealed(card_text(facts()))
    assert is_sealed(card)
    assert is_sealed(card.replace("\n", "\r\n"))
    for other in (card.replace("Pets", "Cats"), f"{card}\nmy words\n", card_text(facts()), "", f"{card}{card}"):
        assert not is_sealed(other)


def test_what_fewer_bits_cost_is_said() -> None:
    loss = CompressionLoss(
        method="int8",
        uncompressed_size_bytes=13_400_000,
        num_images=200,
        num_changed=3,
        max_changed=0.05,
        max_difference=0.12,
        num_labeled=200,
        uncompressed_accuracy=0.95,
        accuracy=0.94,
    )
    small = {"size_bytes": 3_600_000, "num_images": 200, "num_photos": 200, "max_difference": 0.12}
    said = card_text(facts(exports=(export("model.mlpackage", **small, compression=loss),)))
    assert (
        "| `model.mlpackage` | ONNX, int8 | 3.6 MB (13.4 MB uncompressed) | 13.4 MB | 1e-01 at most, on 200 pictures"
        in said
    )
    assert "; 3 of them get another label; of 200 test images 94.0 % are right, 95.0 % uncompressed |" in said
    unknown = replace(loss, num_labeled=0, accuracy=None, uncompressed_accuracy=None)
    said = card_text(facts(exports=(export("model.mlpackage", **small, compression=unknown),)))
    assert "; 3 of them get another label |" in said


def test_of_many_classes_the_worst_are_shown() -> None:
    labels = tuple(f"label {number}" for number in range(1000))
    matrix = np.diag(np.full(1000, 10))
    matrix[7, 8], matrix[7, 7] = 9, 1
    many = ClassifierMetrics(classes=labels, confusion_matrix=matrix, log_loss=0.1)
    said = card_text(facts(classes=labels, metrics={"test": many}, advice=None))
    assert "| label 7 | 10 |" in said
    assert "And 960 classes with a higher F1" in said
    assert "label 7 taken for label 8 (9)" in said
    assert len(said) < 20_000


def test_no_label_makes_markup() -> None:
    said = card_text(facts())
    rows = [line for line in said.splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows if "dog" in row}
    assert bars == {4, 6}  # The rows of its counts and of its figures have as many cells as others.
    assert "<b>" not in said.replace(r"\<b\>", "")
    assert not any(line.startswith("# owl") for line in said.splitlines())
    assert "/home/" not in said
    assert all(escaped(label) in said for label in LABELS)
