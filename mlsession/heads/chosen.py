"""What selection ends with: the options to fit, a point to begin at, a temperature, and the scores that led to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from mlsession.errors import InternalError
from mlsession.heads.comparison import Comparison
from mlsession.heads.forward import ViewsChoice
from mlsession.heads.options import HeadOptions, options_from_json
from mlsession.session.phase import Array, Json, PhaseState

CROSS_VALIDATION, VALIDATION, DEFAULT = "cross-validation", "validation", "default"
"""What a choice was judged on; "default": there was too little to judge on."""
START = "start."
"""Prefix of the arrays of a start in a state."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Start:
    """Where a fit may begin: weights and biases of features as they are. Raises `InternalError` for other shapes."""

    weights: Array
    """float64 [K, D]."""
    bias: Array
    """float64 [K]."""

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.bias.shape != self.weights.shape[:1]:
            raise InternalError(f"a start of weights {self.weights.shape} and biases {self.bias.shape}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What out-of-fold predictions say of one strength of the penalty."""

    strength: float
    temperature: float
    """The best one for what was said of the judged images; see `heads.temperature`."""
    log_loss: float
    """With it: mean over the judged images, weighted as the fit weights their classes; nats."""
    log_loss_error: float
    """Its standard error."""
    accuracy: float
    """The share of the judged images that got their label."""
    accuracy_error: float
    """Its standard error."""

    def to_json(self) -> dict[str, Json]:
        """The stored form."""
        return {name: getattr(self, name) for name in NAMES}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Score:
        """Read `to_json` back. Raises `KeyError` or `TypeError` for another object."""
        return cls(**{name: float(cast(float, data[name])) for name in NAMES})


NAMES = ("strength", "temperature", "log_loss", "log_loss_error", "accuracy", "accuracy_error")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """How to fit a head, and why so."""

    options: HeadOptions
    """To fit, with all that was chosen filled in."""
    kind: str
    """What it was judged on, see above."""
    folds: int = 0
    """How many parts of the images were judged, each by heads that were fitted to the others."""
    judged: int = 0
    """Images that were judged."""
    strength: float | None = None
    """The strength of the penalty that was chosen; None: the default one, or a head that has no such penalty."""
    temperature: float = 1.0
    """What the logits are divided by; see `heads.temperature`. 1.0 also for a head that finds its own."""
    scores: Sequence[Score] = ()
    """Of each strength of a penalty that was tried, from the strongest."""
    comparisons: Sequence[Comparison] = ()
    """Of each other kind of head that was tried, in turn."""
    views: ViewsChoice | None = None
    """Which views of images are fitted to; None where that was not to be chosen."""
    start: Start | None = None
    """A point near the optimum; None: all weights 0."""

    @property
    def accuracy(self) -> float | None:
        """The share of the judged images that heads of these options got right; None where none were judged."""
        if self.comparisons:
            return self.comparisons[-1].kept.accuracy
        return next((score.accuracy for score in self.scores if score.strength == self.strength), None)

    def to_json(self) -> dict[str, Json]:
        """The plain values, without the start."""
        return {
            "classifier": self.options.to_json(),
            "kind": self.kind,
            "folds": self.folds,
            "judged": self.judged,
            "strength": self.strength,
            "temperature": self.temperature,
            "scores": [score.to_json() for score in self.scores],
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            **({} if self.views is None else {"views": self.views.to_json()}),
        }

    def to_phase_state(self) -> PhaseState:
        """The saved form; all arrays in memory of their own."""
        arrays: dict[str, Array] = {}
        if self.start is not None:
            arrays = {f"{START}weights": np.array(self.start.weights), f"{START}bias": np.array(self.start.bias)}
        return PhaseState(arrays, {"chosen": self.to_json()})

    @classmethod
    def from_phase_state(cls, state: PhaseState) -> Chosen:
        """Read `to_phase_state` back. Raises `KeyError`, `TypeError` or `InvalidParameter` for another state."""
        data = cast(dict[str, Json], state.data["chosen"])
        strength, views = data["strength"], data.get("views")
        start = None
        if f"{START}weights" in state.arrays:
            start = Start(weights=state.arrays[f"{START}weights"], bias=state.arrays[f"{START}bias"])
        return cls(
            options=options_from_json(cast(dict[str, Json], data["classifier"])),
            kind=str(data["kind"]),
            folds=int(cast(int, data["folds"])),
            judged=int(cast(int, data["judged"])),
            strength=None if strength is None else float(cast(float, strength)),
            temperature=float(cast(float, data["temperature"])),
            scores=tuple(Score.from_json(score) for score in cast(list[dict[str, Json]], data["scores"])),
            comparisons=tuple(Comparison.from_json(each) for each in cast(list[dict[str, Json]], data["comparisons"])),
            views=None if views is None else ViewsChoice.from_json(cast(dict[str, Json], views)),
            start=start,
        )


def kind_for(folds: int) -> str:
    """What a choice was judged on, by the number of parts that were judged."""
    return CROSS_VALIDATION if folds > 1 else VALIDATION
