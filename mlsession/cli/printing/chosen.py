"""What was chosen before training, in a line; pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlsession.cli.printing.text import number_of, percent
from mlsession.data.folds import FOLDS

if TYPE_CHECKING:
    from mlsession.heads.chosen import Chosen
    from mlsession.heads.comparison import Comparison
    from mlsession.heads.forward import ViewsChoice
    from mlsession.phases.chosen_extractor import ExtractorChoice

NAMES: Mapping[str, str] = MappingProxyType({"logistic_regressor": "logistic", "multilayer_perceptron": "mlp"})
"""Kinds of head as `--classifier` calls them."""


def chosen_words(chosen: Chosen) -> str:
    """The views, the kind of classifier and the penalty, what they were chosen by, how good heads like that were."""
    said = [] if chosen.views is None else [_view_words(chosen.views)]
    # Of a head that leaves nothing to choose the views alone may have been chosen.
    is_known = chosen.views is not None and chosen.judged and not (chosen.scores or chosen.comparisons)
    return "; ".join(said if is_known else [*said, _penalty_words(chosen)])


def extractor_words(choice: ExtractorChoice) -> str:
    """Which extractor was chosen by what, how good heads on the features of each were, and how sure that is."""
    if not choice.ratings:
        return f"{choice.kept}, since there are too few images to choose by"
    shares = ", ".join(f"{each.kind} {percent(each.accuracy)}" for each in choice.ratings)
    apart = [
        f"{each.second.kind} apart from {each.first.kind} by {100 * each.difference.difference:+.2f} points with a "
        f"standard error of {100 * each.difference.standard_error:.2f}"
        for each in choice.comparisons
    ]
    untried = choice.names[len(choice.ratings) :]
    left = [f"{' and '.join(untried)} could not be better by more than the standard error"] if untried else []
    by = f"{FOLDS}-fold cross-validation"
    said = f"{choice.kept} chosen by {by}: {shares} of {number_of(choice.judged, 'image')} right"
    return "; ".join([said, *apart, *left])


def _view_words(views: ViewsChoice) -> str:
    """Which views are trained on, and how good heads with them and without any were."""
    kept = ", ".join(views.kept) or "none"
    if views.best is None or views.difference is None:
        return f"views {kept}, since there are too few images to choose by"
    shares = f"none {percent(views.judged[0].accuracy)}, {'+'.join(views.best.views)} {percent(views.best.accuracy)}"
    points, error = 100 * views.difference.difference, 100 * views.difference.standard_error
    apart = f"apart by {points:+.2f} points with a standard error of {error:.2f}"
    return f"views {kept} chosen out of {len(views.judged)} sets: {shares} right, {apart}"


def _penalty_words(chosen: Chosen) -> str:
    """The kind of classifier and the penalty."""
    best = next((score for score in chosen.scores if score.strength == chosen.strength), None)
    by = "the validation images"
    if chosen.kind == "cross-validation":
        judged = f" ({number_of(chosen.folds, 'fold')} judged)" if chosen.folds < FOLDS else ""
        by = f"{FOLDS}-fold cross-validation{judged}"
    tried = "" if best is None else f"strength {best.strength:g} of {len(chosen.scores)} tried"
    if chosen.comparisons:
        said = "; ".join(_comparison_words(comparison, by) for comparison in chosen.comparisons)
        return said if best is None else f"{said}; penalty: {tried}, temperature {best.temperature:.2f}"
    if best is None:
        return "penalty: the default one, since there are too few images to choose by"
    right = f"{percent(best.accuracy)} of {number_of(chosen.judged, 'image')} right, log loss {best.log_loss:.3g}"
    return f"penalty chosen by {by}: {tried}, temperature {best.temperature:.2f}; {right}"


def _comparison_words(comparison: Comparison, by: str) -> str:
    """The kinds that were compared, how good each was, and how sure it is that they differ."""
    first, second, difference = comparison.first, comparison.second, comparison.difference
    names = [NAMES.get(each.kind, each.kind) for each in (first, second)]
    shares = f"{names[0]} {percent(first.accuracy)}, {names[1]} {percent(second.accuracy)}"
    points, error = 100 * difference.difference, 100 * difference.standard_error
    apart = f"apart by {points:+.2f} points with a standard error of {error:.2f}"
    kept = names[1] if difference.is_better else names[0]
    return f"classifier {kept} chosen by {by}: {shares} of {number_of(difference.judged, 'image')} right, {apart}"
