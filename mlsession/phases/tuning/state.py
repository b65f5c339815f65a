"""What finetuning remembers between two turns, and how it is saved.

Arrays of a state before the last: `point` float32 [P], all that is tuned (see `finetuning.point`), its `first_moments`
and `second_moments`, its `average` where one is kept, and `logits` float32 [m, K] of the validation images that the
present pass has looked at. Every state has `epochs.<metric>` float64, one value for each epoch that has ended.

Where several processes share what is tuned, none of these vectors is in the state: each process has written its part of
them in a shard of it, with `places` int64 [n, 2] that say which elements these are, see `finetuning.layout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlsession.errors import DamagedData
from mlsession.finetuning.layout import common, count_of, from_places
from mlsession.finetuning.scaling import LossScale
from mlsession.phases.finetuned import EPOCHS_PREFIX, Judged, judged_from_json
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_number, as_object
from mlsession.session.phase import Array, Arrays, Json, PhaseState

METRICS = ("loss", "accuracy", "validation_loss", "validation_accuracy")
VECTORS = ("point", "first_moments", "second_moments")
AVERAGE, LOGITS = "average", "logits"
PLACES = "places"
"""Of a shard: which elements of the vectors it has."""
_KEY = "state of finetuning"


@dataclass(slots=True, kw_only=True, eq=False)
class Progress:
    """Where fine-tuning stands; plain values."""

    micro_batch: int
    """Images of a part, see `finetuning.tuner`."""
    scale: LossScale
    turns: int = 0
    """Done, see `finetuning.course`."""
    updates: int = 0
    """Optimiser steps that moved the weights: those whose gradient was finite."""
    loss: float = 0.0
    right: int = 0
    seen: int = 0
    """Over the steps of the present epoch: the sum of the images' losses, how many were right, and of how many."""
    head_only: Judged | None = None
    """The head before it was tuned; None without validation images."""
    epochs: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    """One value for each epoch that has ended; of `METRICS` those that there are."""
    logits: list[Array] = field(default_factory=list)
    """float32 [n, K] each: of the present pass over the validation images."""

    def to_json(self) -> dict[str, Json]:
        return {
            "iteration": self.turns,
            "updates": self.updates,
            "micro_batch": self.micro_batch,
            "scale": self.scale.factor,
            "scale_updates": self.scale.good,
            "loss": self.loss,
            "right": self.right,
            "seen": self.seen,
            "head_only": None if self.head_only is None else self.head_only.to_json(),
        }

    def history(self) -> dict[str, Array]:
        """The arrays of the epochs."""
        return {f"{EPOCHS_PREFIX}{name}": np.array(values) for name, values in self.epochs.items() if values}

    def to_phase_state(self, vectors: Mapping[str, Array]) -> PhaseState:
        """The saved form; `vectors` are in memory of their own."""
        arrays = {**vectors, **self.history()}
        if self.logits:
            arrays[LOGITS] = np.concatenate(self.logits)
        return PhaseState(arrays, self.to_json())


def progress_of(state: PhaseState, *, is_scaled: bool) -> Progress:
    """Reads `Progress.to_phase_state` back; `is_scaled`: as the runtime says. Raises `DamagedData`."""
    with as_written(_KEY):
        data, arrays = state.data, state.arrays
        stored = data["head_only"]
        return Progress(
            turns=as_count(data["iteration"]),
            updates=as_count(data["updates"]),
            micro_batch=max(as_count(data["micro_batch"]), 1),
            scale=LossScale(
                factor=as_number(data["scale"]), good=as_count(data["scale_updates"]), is_fixed=not is_scaled
            ),
            loss=as_number(data["loss"]),
            right=as_count(data["right"]),
            seen=as_count(data["seen"]),
            head_only=None if stored is None else judged_from_json(as_object(stored)),
            epochs={name: arrays.get(f"{EPOCHS_PREFIX}{name}", np.empty(0)).tolist() for name in METRICS},
            logits=[arrays[LOGITS]] if LOGITS in arrays else [],
        )


def vector_of(state: PhaseState, name: str, count: int) -> Array:
    """One of the vectors, float32 [count]. Raises `DamagedData`."""
    vector = state.arrays.get(name)
    if vector is None or vector.dtype != np.float32 or vector.shape != (count,):
        raise DamagedData(_KEY, f"{name} is not float32 [{count}]")
    return vector


def part_of_vectors(
    state: PhaseState, names: Sequence[str], count: int, mine: Sequence[slice], first: int = 0
) -> dict[str, Array]:
    """Of vectors [count] the elements `mine`, float32 each, however many processes have written them.

    Reads one shard at a time, from number `first` on, until it has all: where as many processes go on as there were,
    that of the same rank is enough. Raises `DamagedData`.
    """
    if not state.shards:
        whole = {name: vector_of(state, name, count) for name in names}
        return {name: np.concatenate([vector[piece] for piece in mine]) for name, vector in whole.items()}
    wanted = count_of(mine)
    found = {name: np.empty(wanted, dtype=np.float32) for name in names}
    filled = np.zeros(wanted, dtype=np.bool_)
    for number in range(len(state.shards)):
        if filled.all():
            break
        with as_written(_KEY):
            _fill(found, filled, state.shards[(first + number) % len(state.shards)](), mine)
    if not filled.all():
        raise DamagedData(_KEY, f"its shards lack {wanted - int(filled.sum()):,} of {wanted:,} elements")
    return found


def _fill(found: Mapping[str, Array], filled: Array, shard: Arrays, mine: Sequence[slice]) -> None:
    """Takes from a shard what is wanted of it. Raises what `as_written` turns into `DamagedData`."""
    theirs = from_places(shard[PLACES])
    vectors = {name: shard[name] for name in found}
    if any(each.dtype != np.float32 or each.shape != (count_of(theirs),) for each in vectors.values()):
        raise ValueError(f"the vectors of a shard are not float32 [{count_of(theirs)}]")
    for place, source in common(mine, theirs):
        if filled[place].any():
            raise ValueError("two shards have the same elements")
        filled[place] = True
        for name, vector in vectors.items():
            found[name][place] = vector[source]
