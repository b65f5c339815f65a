"""A fit of any kind, begun or restored: the one place that chooses by the options."""

from __future__ import annotations

from collections.abc import Sequence

from mlsession.heads.chosen import Chosen
from mlsession.heads.logistic.fit import LogisticFit
from mlsession.heads.options import HeadOptions, LogisticRegressor
from mlsession.heads.perceptron.fit import PerceptronFit
from mlsession.heads.perceptron.state import PerceptronState
from mlsession.heads.protocol import Fit, TrainingRows
from mlsession.heads.state import LogisticState
from mlsession.session.phase import PhaseState


def begin_fit(
    rows: TrainingRows, classes: Sequence[str], options: HeadOptions, seed: int, chosen: Chosen | None = None
) -> Fit:
    """The fit before its first iteration; `classes` names label 0, 1, ...

    Logistic regression has nothing random, and the seed means nothing to it. What was `chosen` says where it begins,
    and its temperature; a perceptron begins anywhere, and finds its own. Raises `UnusableData` when there is a
    class without rows, or a feature that is infinite or not a number.
    """
    if isinstance(options, LogisticRegressor):
        return LogisticFit.begin(rows, classes, options, chosen)
    return PerceptronFit.begin(rows, classes, options, seed)


def restore_fit(state: PhaseState, options: HeadOptions, seed: int) -> Fit:
    """What `Fit.to_phase_state` gave, for the same options and seed. Raises `InternalError` for another state."""
    if isinstance(options, LogisticRegressor):
        return LogisticFit(state=LogisticState.from_phase_state(state), options=options)
    return PerceptronFit(state=PerceptronState.from_phase_state(state), options=options, seed=seed)
