"""All that a perceptron's fit remembers between two epochs, and its saved form; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from mlsession.errors import InternalError
from mlsession.heads.shape import NetworkShape
from mlsession.session.phase import Array, Json, PhaseState

FLOAT32 = ("weights", "first_moments", "second_moments")
FLOAT64 = ("mean", "scale", "losses", "accuracies")
COUNTS = ("iteration", "steps", "rows", "batch_size")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerceptronState:
    """A fit after `iteration` epochs. P weights and biases as `shape` lays them out; D features.

    The first layer takes standardised features `(x - mean) / scale`; the head has that folded in.
    """

    shape: NetworkShape
    weights: Array
    """float32 [P]: weights and biases."""
    first_moments: Array
    """float32 [P]: Adam's running mean of the gradient."""
    second_moments: Array
    """float32 [P]: Adam's running mean of its square."""
    mean: Array
    """float64 [D]: of the training rows, float32 values."""
    scale: Array
    """float64 [D]: what features are divided by, float32 values."""
    losses: Array
    """float64 [iteration]: the mean cross-entropy on the training rows after each epoch."""
    accuracies: Array
    """float64 [iteration]: the share of training rows classified correctly after each epoch."""
    iteration: int
    """Epochs done."""
    steps: int
    """Steps of Adam done."""
    rows: int
    """Training rows, N."""
    batch_size: int
    """Rows in a step, as chosen; the last step of an epoch takes those that are left."""
    converged: bool

    def __post_init__(self) -> None:
        size, features = (self.shape.count,), (self.shape.sizes[0],)
        shapes = {
            "weights": size,
            "first_moments": size,
            "second_moments": size,
            "mean": features,
            "scale": features,
            "losses": (self.iteration,),
            "accuracies": (self.iteration,),
        }
        for name, shape in shapes.items():
            array, dtype = getattr(self, name), "float32" if name in FLOAT32 else "float64"
            if array.shape != shape or str(array.dtype) != dtype:
                raise InternalError(f"perceptron state: {name} is {array.dtype} {array.shape}, not {dtype} {shape}")
        if self.batch_size < 1 or self.rows < 1:
            raise InternalError(f"perceptron state: {self.rows} rows in batches of {self.batch_size}")

    def to_phase_state(self) -> PhaseState:
        """The saved form; all arrays in memory of their own."""
        data: dict[str, Json] = {name: getattr(self, name) for name in (*COUNTS, "converged")}
        return PhaseState(
            arrays={name: np.array(getattr(self, name)) for name in (*FLOAT32, *FLOAT64)},
            data={**data, "layer_sizes": list(self.shape.sizes)},
        )

    @classmethod
    def from_phase_state(cls, state: PhaseState) -> PerceptronState:
        """Read `to_phase_state` back. Raises `InternalError` for a state of another shape."""
        arrays, data = state.arrays, state.data
        missing = [name for name in (*FLOAT32, *FLOAT64) if name not in arrays]
        missing += [name for name in (*COUNTS, "converged") if not isinstance(data.get(name), int)]
        sizes = data.get("layer_sizes")
        if missing or not isinstance(sizes, list) or not all(isinstance(size, int) for size in sizes):
            raise InternalError(f"perceptron state: no {', '.join(missing) or 'layer_sizes'}")
        iteration, steps, rows, batch_size = (cast(int, data[name]) for name in COUNTS)
        return cls(
            shape=NetworkShape(sizes=tuple(cast(list[int], sizes))),
            weights=arrays["weights"],
            first_moments=arrays["first_moments"],
            second_moments=arrays["second_moments"],
            mean=arrays["mean"],
            scale=arrays["scale"],
            losses=arrays["losses"],
            accuracies=arrays["accuracies"],
            iteration=iteration,
            steps=steps,
            rows=rows,
            batch_size=batch_size,
            converged=bool(data["converged"]),
        )
