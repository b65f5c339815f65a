"""All that a logistic fit remembers between two iterations, and its saved form; numpy only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsession.errors import InternalError
from mlsession.session.phase import Array, PhaseState

ARRAYS = ("weights", "bias", "gradient", "mean", "scale", "class_weights", "losses", "accuracies")
FLOATS = ("loss", "accuracy", "l2", "temperature")
COUNTS = ("iteration", "evaluations", "rows")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogisticState:
    """A fit after `iteration` iterations. All arrays are float64; K classes, D features, P = K * D + K.

    Weights and bias are those of standardised features `(x - mean) / scale`; `heads.logistic.fit.head_of` folds the
    standardisation in.
    """

    weights: Array
    """[K, D]."""
    bias: Array
    """[K]."""
    gradient: Array
    """[P]: of the objective at weights and bias, the weights' rows first."""
    loss: float
    """The objective at weights and bias, penalty included."""
    accuracy: float
    """The share of training rows that weights and bias classify correctly."""
    steps: tuple[Array, ...]
    """Differences of the last points, oldest first, each [P]."""
    changes: tuple[Array, ...]
    """Differences of the gradients at those points, each [P]."""
    iteration: int
    evaluations: int
    """How many passes over the rows have computed a loss and a gradient."""
    converged: bool
    rows: int
    """Training rows, N."""
    l2: float
    """The penalty's strength, as chosen."""
    mean: Array
    """[D]: of the training rows, rounded to float32 so that the solver and the head subtract the same."""
    scale: Array
    """[D]: what features are divided by, rounded to float32; see `heads.logistic.fit.solver_scale`."""
    class_weights: Array
    """[K]: what a row of each class counts in the objective."""
    losses: Array
    """[iteration]: the objective after each iteration."""
    accuracies: Array
    """[iteration]: the share of training rows classified correctly after each iteration."""
    temperature: float = 1.0
    """What the logits of weights and bias are divided by to make the head's; see `heads.temperature`."""

    def __post_init__(self) -> None:
        classes, features = self.weights.shape
        size = classes * features + classes
        shapes = {
            "bias": (classes,),
            "gradient": (size,),
            "mean": (features,),
            "scale": (features,),
            "class_weights": (classes,),
            "losses": (self.iteration,),
            "accuracies": (self.iteration,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InternalError(f"logistic state: {name} is {getattr(self, name).shape} and must be {shape}")
        if len(self.steps) != len(self.changes) or any(v.shape != (size,) for v in (*self.steps, *self.changes)):
            raise InternalError("logistic state: steps and changes must be pairs of vectors as long as the gradient")
        if not math.isfinite(self.loss):
            raise InternalError(f"logistic state: the loss is {self.loss}")

    def to_phase_state(self) -> PhaseState:
        """The saved form; all arrays in memory of their own."""
        arrays = {name: np.array(getattr(self, name), dtype=np.float64) for name in ARRAYS}
        empty = np.empty((0, len(self.gradient)), dtype=np.float64)
        arrays["steps"] = np.stack(self.steps) if self.steps else empty
        arrays["changes"] = np.stack(self.changes) if self.changes else empty.copy()
        return PhaseState(
            arrays=arrays,
            data={name: getattr(self, name) for name in (*FLOATS, *COUNTS, "converged")},
        )

    @classmethod
    def from_phase_state(cls, state: PhaseState) -> LogisticState:
        """Read `to_phase_state` back. Raises `InternalError` for a state of another shape."""
        arrays, data = state.arrays, state.data
        missing = [name for name in (*ARRAYS, "steps", "changes") if name not in arrays]
        missing += [name for name in (*FLOATS, *COUNTS, "converged") if not isinstance(data.get(name), int | float)]
        if missing:
            raise InternalError(f"logistic state: no {', '.join(missing)}")
        floats = {name: float(data[name]) for name in FLOATS}  # type: ignore[arg-type]
        counts = {name: int(data[name]) for name in COUNTS}  # type: ignore[arg-type]
        return cls(
            weights=arrays["weights"],
            bias=arrays["bias"],
            gradient=arrays["gradient"],
            loss=floats["loss"],
            accuracy=floats["accuracy"],
            steps=tuple(arrays["steps"]),
            changes=tuple(arrays["changes"]),
            iteration=counts["iteration"],
            evaluations=counts["evaluations"],
            converged=bool(data["converged"]),
            rows=counts["rows"],
            l2=floats["l2"],
            mean=arrays["mean"],
            scale=arrays["scale"],
            class_weights=arrays["class_weights"],
            losses=arrays["losses"],
            accuracies=arrays["accuracies"],
            temperature=floats["temperature"],
        )
