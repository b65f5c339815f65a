"""All that a perceptron's fit remembers between two epochs, and its saved form; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from mlsession.errors import InternalError
from mlsession.heads.perceptron.shape import NetworkShape
from mlsession.session.phase import Array, Json, PhaseState

FLOAT32 = ("weights", "best_weights", "first_moments", "second_moments")
FLOAT64 = ("mean", "scale", "class_weights", "losses", "accuracies", "held_out_losses")
INT64 = ("held_out",)
ARRAYS = (*FLOAT32, *FLOAT64, *INT64)
COUNTS = ("iteration", "best_iteration", "steps", "rows", "batch_size")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerceptronState:
    """A fit after `iteration` epochs. P weights and biases as `shape` lays them out; D features, K classes.

    The first layer takes standardised features `(x - mean) / scale`; the head has that folded in.
    """

    shape: NetworkShape
    weights: Array
    """float32 [P]: weights and biases, the newest."""
    best_weights: Array
    """float32 [P]: those with the lowest loss on the rows held out; empty where there are none."""
    first_moments: Array
    """float32 [P]: Adam's running mean of the gradient."""
    second_moments: Array
    """float32 [P]: Adam's running mean of its square."""
    mean: Array
    """float64 [D]: of the training rows, float32 values."""
    scale: Array
    """float64 [D]: what features are divided by, float32 values."""
    class_weights: Array
    """float64 [K]: what a row of each class counts in the loss; those of all rows fitted to sum to their number."""
    losses: Array
    """float64 [iteration]: the mean cross-entropy on the rows fitted to after each epoch."""
    accuracies: Array
    """float64 [iteration]: the share of the rows fitted to that is classified correctly after each epoch."""
    held_out: Array
    """int64 [H]: the places of the rows held out, ascending; none without early stopping."""
    held_out_losses: Array
    """float64 [iteration]: the mean cross-entropy on them after each epoch; empty where there are none."""
    iteration: int
    """Epochs done."""
    best_iteration: int
    """The epoch of the weights that the head has: of the lowest loss on the rows held out, or else the newest."""
    steps: int
    """Steps of Adam done."""
    rows: int
    """All training rows, N."""
    batch_size: int
    """Rows in a step, as chosen; the last step of an epoch takes those that are left."""
    converged: bool
    temperature: float = 1.0
    """Of the head that `best_weights` give, fitted on the rows held out; 1.0 where there are none."""

    def __post_init__(self) -> None:
        size, features = (self.shape.count,), (self.shape.sizes[0],)
        shapes = {
            "weights": size,
            "best_weights": size if len(self.held_out) else (0,),
            "first_moments": size,
            "second_moments": size,
            "mean": features,
            "scale": features,
            "class_weights": (self.shape.sizes[-1],),
            "losses": (self.iteration,),
            "accuracies": (self.iteration,),
            "held_out": (len(self.held_out),),
            "held_out_losses": (self.iteration if len(self.held_out) else 0,),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            dtype = "float32" if name in FLOAT32 else "int64" if name in INT64 else "float64"
            if array.shape != shape or str(array.dtype) != dtype:
                raise InternalError(f"perceptron state: {name} is {array.dtype} {array.shape}, not {dtype} {shape}")
        if self.batch_size < 1 or self.rows < 1:
            raise InternalError(f"perceptron state: {self.rows} rows in batches of {self.batch_size}")

    @property
    def kept_weights(self) -> Array:
        """float32 [P]: those that the head has."""
        return self.best_weights if len(self.held_out) else self.weights

    def to_phase_state(self) -> PhaseState:
        """The saved form; all arrays in memory of their own."""
        data: dict[str, Json] = {name: getattr(self, name) for name in (*COUNTS, "converged", "temperature")}
        return PhaseState(
            arrays={name: np.array(getattr(self, name)) for name in ARRAYS},
            data={**data, "layer_sizes": list(self.shape.sizes)},
        )

    @classmethod
    def from_phase_state(cls, state: PhaseState) -> PerceptronState:
        """Read `to_phase_state` back. Raises `InternalError` for a state of another shape."""
        arrays, data = state.arrays, state.data
        missing = [name for name in ARRAYS if name not in arrays]
        missing += [name for name in (*COUNTS, "converged") if not isinstance(data.get(name), int)]
        missing += [name for name in ("temperature",) if not isinstance(data.get(name), float)]
        sizes = data.get("layer_sizes")
        if missing or not isinstance(sizes, list) or not all(isinstance(size, int) for size in sizes):
            raise InternalError(f"perceptron state: no {', '.join(missing) or 'layer_sizes'}")
        iteration, best_iteration, steps, rows, batch_size = (cast(int, data[name]) for name in COUNTS)
        return cls(
            shape=NetworkShape(sizes=tuple(cast(list[int], sizes))),
            weights=arrays["weights"],
            best_weights=arrays["best_weights"],
            first_moments=arrays["first_moments"],
            second_moments=arrays["second_moments"],
            mean=arrays["mean"],
            scale=arrays["scale"],
            class_weights=arrays["class_weights"],
            losses=arrays["losses"],
            accuracies=arrays["accuracies"],
            held_out=arrays["held_out"],
            held_out_losses=arrays["held_out_losses"],
            iteration=iteration,
            best_iteration=best_iteration,
            steps=steps,
            rows=rows,
            batch_size=batch_size,
            converged=bool(data["converged"]),
            temperature=cast(float, data["temperature"]),
        )
