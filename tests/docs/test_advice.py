"""docs/advice.md has a line for each rule, in their order, and says what they hold."""

from __future__ import annotations

import re
from pathlib import Path

from mlsession.advising.advice import Severity
from mlsession.advising.evidence import SMALL_SIDE, TELLING
from mlsession.advising.rules import classes, data, figures, fit
from mlsession.advising.verdict import MOST, RULES
from mlsession.scanning.labels import IMBALANCE, SMALL, TINY
from mlsession.training.images.short_sides import LARGE_BYTES, MOST_FILES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "advice.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| ([\w;:% ]+) \| (.*)$", DOCUMENT, re.MULTILINE)


def test_the_table_has_the_rules_in_their_order() -> None:
    assert [name for name, _, _ in ROWS] == list(RULES)


def test_the_table_knows_the_severities() -> None:
    named = {word for _, severities, _ in ROWS for word in re.findall(r"\w+", severities)}
    assert {severity.value for severity in Severity} - {"none"} <= named


def test_the_figures_are_those_of_the_code() -> None:
    table = {name: text for name, _, text in ROWS}
    assert (SMALL, TINY, IMBALANCE) == (25, 10, 4)
    for rule, count in (
        ("few_images", SMALL),
        ("few_images", TINY),
        ("imbalance", TINY),
        ("imbalance", int(IMBALANCE)),
    ):
        assert f" {count} " in table[rule]
    for rule, share in (
        *(
            ("small_images", data.MATTERS),
            ("sure_mistakes", data.SURE_AND_WRONG),
            ("unreadable_images", data.UNREADABLE),
        ),
        *(("iteration_limit", fit.STILL_FALLING), ("underfitting", data.MATTERS), ("confused_pair", data.MATTERS)),
    ):
        assert f"{round(100 * share)} %" in table[rule]
    assert (figures.LEAKED, figures.WIDEST, TELLING, MOST) == (0.01, 0.1, 5, 1 / 3)
    assert (data.CONFLICTING, data.SMALL_SHARE, classes.SHARE_OF_MISTAKES) == (0.01, 0.5, 0.25)
    assert f" {SMALL_SIDE} pixels" in table["small_images"]
    assert f"at most {MOST_FILES} of them" in DOCUMENT
    assert f"more than {LARGE_BYTES // 1024} KiB" in DOCUMENT
