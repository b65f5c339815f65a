"""What a training state holds for those who only read it; no torch."""

from __future__ import annotations

import math

from mlsession.heads.chosen import Chosen
from mlsession.heads.kinds import head_from_tensors
from mlsession.heads.protocol import Head
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_number
from mlsession.session.phase import PhaseState

HEAD_PREFIX = "head."
"""Arrays of the head that the fit gives by now."""
HEAD_KIND = "head"
"""The plain value that says what kind of head they are."""
FIT_PREFIX = "fit."
"""Arrays that the solver needs to go on."""


def trained_head(state: PhaseState) -> Head:
    """The head in a training state. Raises `InvalidParameter` for a kind that this version does not have."""
    tensors = {
        name.removeprefix(HEAD_PREFIX): array for name, array in state.arrays.items() if name.startswith(HEAD_PREFIX)
    }
    return head_from_tensors(state.data.get(HEAD_KIND), tensors)


def chosen_of(state: PhaseState) -> Chosen | None:
    """What a state of selecting holds that has ended; None for another one. Raises `DamagedData`."""
    if "chosen" not in state.data:
        return None
    with as_written("state of selecting"):
        return Chosen.from_phase_state(state)


def temperature_of(state: PhaseState) -> float:
    """What the logits of the head in a training state were divided by; 1.0: by nothing. Raises `DamagedData`."""
    with as_written("state of training"):
        temperature = as_number(state.data["temperature"])
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError("a temperature is a number above 0")
        return temperature


def is_fitted(state: PhaseState, limit: int) -> bool:
    """Whether a fit has nothing more to do under an iteration limit. Raises `DamagedData`."""
    with as_written("state of training"):
        return state.data["converged"] is True or as_count(state.data["iteration"]) >= limit
