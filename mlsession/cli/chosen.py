"""What was chosen before training, in a line; pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlsession.cli.text import number_of, percent

if TYPE_CHECKING:
    from mlsession.heads.chosen import Chosen
    from mlsession.heads.comparison import Comparison

NAMES: Mapping[str, str] = MappingProxyType({"logistic_regressor": "logistic", "multilayer_perceptron": "mlp"})
"""Kinds of head as `--classifier` calls them."""


def chosen_words(chosen: Chosen) -> str:
    """The kind of classifier and the penalty, what they were chosen by, and how good heads like that were."""
    by = f"{chosen.folds}-fold cross-validation" if chosen.kind == "cross-validation" else "the validation images"
    if not chosen.comparisons:
        return _penalty_words(chosen, by)
    said = "; ".join(_comparison_words(comparison, by) for comparison in chosen.comparisons)
    return said if chosen.strength is None else f"{said}; {_penalty_words(chosen, by)}"


def _comparison_words(comparison: Comparison, by: str) -> str:
    """The kinds that were compared, how good each was, and why the one was kept."""
    first, second, difference = comparison.first, comparison.second, comparison.difference
    names = [NAMES.get(each.kind, each.kind) for each in (first, second)]
    shares = f"{names[0]} {percent(first.accuracy)}, {names[1]} {percent(second.accuracy)}"
    points, error = 100 * difference.difference, 100 * difference.standard_error
    apart = f"apart by {points:+.2f} points with a standard error of {error:.2f}"
    kept = names[1] if difference.is_better else names[0]
    return f"classifier {kept} chosen by {by}: {shares} of {number_of(difference.judged, 'image')} right, {apart}"


def _penalty_words(chosen: Chosen, by: str) -> str:
    best = next((score for score in chosen.scores if score.strength == chosen.strength), None)
    if best is None:
        return "penalty: the default one, since there are too few images to choose by"
    right = f"{percent(best.accuracy)} of {number_of(chosen.judged, 'image')} right, log loss {best.log_loss:.3g}"
    how = f"strength {best.strength:g} of {len(chosen.scores)} tried, temperature {best.temperature:.2f}"
    return f"penalty chosen by {by}: {how}; {right}"
