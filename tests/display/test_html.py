"""Pieces of HTML are whole, and show what comes from outside as text."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlsession.display.html import MOST_CLASSES, bar, card, confusion, facts, table


class Reader(HTMLParser):
    """The text of a page; fails where a tag is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def texts_of(page: str) -> list[str]:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader.texts


texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["C"]), min_size=1, max_size=12)


@given(title=texts, name=texts, value=texts)
def test_what_comes_from_outside_shows_as_text(title: str, name: str, value: str) -> None:
    shown = "".join(texts_of(card(title, "kind", [facts({name: value}), table([name, "n"], [[value, 1]])])))
    assert shown == f"{title} kind{name}{value}{name}n{value}1"


def test_figures_are_short_and_undefined_ones_a_dash() -> None:
    assert texts_of(table(["label", "recall"], [["cat", 0.98765], ["dog", math.nan]]))[2:] == [
        "cat",
        "0.988",
        "dog",
        "-",
    ]


def test_facts_leave_out_what_is_not_known() -> None:
    assert texts_of(facts({"phase": "training", "reason": None})) == ["phase", "training"]
    assert facts({"reason": None}) == ""


def test_bars_stay_in_their_frame() -> None:
    assert "width:50.0%" in bar(0.5)
    assert "width:100.0%" in bar(7.0)
    assert "width:0.0%" in bar(None)
    assert "width:0.0%" in bar(math.nan)


def test_a_confusion_matrix_shows_every_count_once() -> None:
    shown = texts_of(confusion(["a<b", "c"], np.array([[3, 0], [11, 7]])))
    assert [text for text in shown if text.isdigit()] == ["3", "11", "7"]
    assert "a<b" in shown


def test_a_confusion_matrix_that_could_not_be_read_is_left_out() -> None:
    many = MOST_CLASSES + 1
    assert confusion([str(place) for place in range(many)], np.zeros((many, many), dtype=np.int64)) == ""
    assert confusion([], np.zeros((0, 0), dtype=np.int64)) == ""
