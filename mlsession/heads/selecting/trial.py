"""The seam of selection: what it asks of a kind of head that is judged on the folds of some rows.

    while not trial.is_done:
        trial = trial.advance(turn)
    outcome = trial.outcome()

A trial is a value between two turns: `advance` gives another one, and leaves the old one as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from mlsession.heads.chosen import Chosen
from mlsession.heads.comparison import Rating
from mlsession.heads.options import kind_of
from mlsession.session.phase import Arrays, Json, PhaseState

TURN = 4e9
"""Multiply-adds of an `advance`, about: half a second of one processor."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a trial ends with; J judged rows."""

    chosen: Chosen
    """What to train, if this kind of head is kept."""
    right: npt.NDArray[np.bool_]
    """[J]: which of the judged images got their label, fold by fold."""
    log_loss: float
    """See `Rating`."""

    @property
    def rating(self) -> Rating:
        """How good it was."""
        return Rating(kind=kind_of(self.chosen.options), accuracy=float(self.right.mean()), log_loss=self.log_loss)

    @property
    def metrics(self) -> dict[str, float]:
        """To be reported."""
        strength = {} if self.chosen.strength is None else {"strength": self.chosen.strength}
        return {**strength, "log_loss": self.log_loss, "accuracy": self.rating.accuracy}

    def stored(self, name: str) -> PhaseState:
        """The saved form, in memory of its own: arrays whose names begin with `name` and a point, and a value `name`.

        A state may hold several, and other things beside them.
        """
        chosen = self.chosen.to_phase_state()
        arrays = {f"{name}.{inner}": array for inner, array in chosen.arrays.items()}
        arrays[f"{name}.right"] = self.right.astype(np.uint8)
        return PhaseState(arrays, {name: {**chosen.data, "log_loss": self.log_loss}})

    @classmethod
    def restored(cls, name: str, state: PhaseState) -> Outcome | None:
        """Read `stored` back; None where there is none of this name. Raises `KeyError` or `TypeError`."""
        if (data := state.data.get(name)) is None:
            return None
        arrays, told = of_prefix(state, f"{name}."), cast(dict[str, Json], data)
        return cls(
            chosen=Chosen.from_phase_state(PhaseState(arrays, told)),
            right=arrays["right"].astype(np.bool_),
            log_loss=float(cast(float, told["log_loss"])),
        )


def of_prefix(state: PhaseState, prefix: str) -> Arrays:
    """The arrays of a state whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in state.arrays.items() if name.startswith(prefix)}


class Trial(Protocol):
    """A kind of head on its way through the folds."""

    @property
    def kind(self) -> str:
        """That of its options."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to judge."""
        ...

    @property
    def fits(self) -> int:
        """Fits that have ended."""
        ...

    @property
    def most_fits(self) -> int:
        """Fits that there will be, at most."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of what was judged so far."""
        ...

    def advance(self, turn: float) -> Trial:
        """After the rest of the present fit, or about `turn` multiply-adds of it; one iteration or more."""
        ...

    def outcome(self) -> Outcome:
        """What it has come to; once it is done."""
        ...

    def to_phase_state(self) -> PhaseState:
        """All that it must remember, in memory of its own."""
        ...

    def going_on(self, state: PhaseState) -> Trial:
        """The same trial where a state stands. Raises `InternalError` for a state of another one."""
        ...
