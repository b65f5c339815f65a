"""The order in which sets of views are judged, and which one is kept; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from mlsession.heads.forward import JudgedSet, ViewsChoice, most_sets, next_set
from mlsession.heads.paired import PairedDifference

KINDS = ("blur", "crop", "flip")


def walked(losses: Mapping[str, float], kinds: tuple[str, ...] = KINDS) -> list[str]:
    """The sets in the order in which they are judged, each with this log loss; 9 for one that is not named."""
    judged: list[JudgedSet] = []
    while (views := next_set(judged, kinds)) is not None:
        judged.append(JudgedSet(views=views, accuracy=0.5, log_loss=losses.get("+".join(views), 9.0)))
    return ["+".join(each.views) for each in judged]


def test_each_kind_is_judged_alone_and_nothing_together_where_none_helps() -> None:
    assert walked({"": 0.5}) == ["", "blur", "crop", "flip"]
    assert walked({"": 0.5, "crop": 0.5}) == ["", "blur", "crop", "flip"]
    assert walked({"": 0.5, "crop": 0.4}) == ["", "blur", "crop", "flip"]


def test_kinds_that_help_alone_are_joined_the_best_first() -> None:
    helping = {"": 0.5, "blur": 0.4, "crop": 0.3, "flip": 0.2}
    assert walked(helping)[4:] == ["crop+flip", "blur+flip"]
    assert walked({**helping, "crop+flip": 0.1})[4:] == ["crop+flip", "blur+crop+flip"]
    assert walked({**helping, "crop+flip": 0.2})[4:] == ["crop+flip", "blur+flip"]


@pytest.mark.parametrize("kinds", [KINDS, KINDS[:1], tuple("abcdefg")])
def test_so_many_sets_at_most(kinds: tuple[str, ...]) -> None:
    falling = {"+".join(kinds[:count]): 0.5 - 0.01 * count for count in range(len(kinds) + 1)}
    falling |= {kind: 0.49 + 0.001 * place for place, kind in enumerate(kinds)}
    assert len(walked(falling, kinds)) == most_sets(len(kinds))
    assert len(set(walked(falling, kinds))) == most_sets(len(kinds))


def choice(gained: int, lost: int) -> ViewsChoice:
    sets = [((), 0.8, 0.5), (("crop",), 0.82, 0.45), (("crop", "flip"), 0.85, 0.4), (("flip",), 0.9, 0.41)]
    judged = tuple(JudgedSet(views=views, accuracy=right, log_loss=loss) for views, right, loss in sets)
    return ViewsChoice(judged=judged, difference=PairedDifference(judged=100, gained=gained, lost=lost), fits=7)


def test_the_best_set_is_kept_only_where_it_is_surely_more_accurate() -> None:
    better, worse, equal, chance = choice(9, 1), choice(1, 9), choice(3, 3), choice(2, 1)
    assert better.best == worse.best == better.judged[2]
    assert better.kept == ("crop", "flip")
    assert worse.kept == equal.kept == chance.kept == ()
    assert better.reason == "crop+flip is 8.00 points better than no views, more than the standard error of 3.07"
    assert chance.reason == "crop+flip is 1.00 points better than no views, no more than the standard error of 1.74"
    assert worse.reason == "crop+flip is 8.00 points worse than no views"
    assert equal.reason == "crop+flip is no better than no views"
    assert (ViewsChoice().kept, ViewsChoice().best) == ((), None)
    assert "too few images" in ViewsChoice().reason


@pytest.mark.parametrize("given", [choice(9, 1), ViewsChoice()])
def test_a_choice_is_read_back(given: ViewsChoice) -> None:
    stored = json.loads(json.dumps(given.to_json()))
    assert ViewsChoice.from_json(stored) == given
    assert stored["kept"] == list(given.kept)
