"""What a training state holds for those who only read it; no torch."""

from __future__ import annotations

from mlsession.heads.linear import LogisticHead
from mlsession.session.phase import PhaseState

HEAD_PREFIX = "head."
"""Arrays of the head that the fit gives by now."""
FIT_PREFIX = "fit."
"""Arrays that the solver needs to go on."""


def trained_head(state: PhaseState) -> LogisticHead:
    """The head in a training state."""
    tensors = {
        name.removeprefix(HEAD_PREFIX): array for name, array in state.arrays.items() if name.startswith(HEAD_PREFIX)
    }
    return LogisticHead.from_tensors(tensors)


def is_fitted(state: PhaseState, limit: int) -> bool:
    """Whether a fit has nothing more to do under an iteration limit."""
    iteration = state.data["iteration"]
    assert isinstance(iteration, int)
    return state.data["converged"] is True or iteration >= limit
