"""What a state of finetuning holds for those who only read it; no torch.

    if is_kept(state):     the classifier is the tuned network with the tuned head
    else:                  it is the head alone, on the network as it was

The last state holds the tuned tensors only where they are kept. States before it hold what the next optimiser step
needs (see `finetuning.point`), and the classifier is still the head alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mlsession.errors import DamagedData
from mlsession.heads.protocol import Head
from mlsession.phases.trained import temperature_of, trained_head
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_number, as_object
from mlsession.session.phase import Arrays, Json, PhaseState

NETWORK_PREFIX = "network."
"""Arrays of the tuned network, by their names in its `state_dict()`."""
EPOCHS_PREFIX = "epochs."
"""Arrays with one value for each epoch that has ended."""
KEPT, COMPARISON, TEMPERATURE = "kept", "comparison", "temperature"
"""Plain values of the last state; absent before it. There is no comparison without validation images."""

_KEY = "state of finetuning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A classifier on the validation images, its logits divided by the temperature that fits them best.

    Of both classifiers of a comparison alike, so that neither loses for being too sure of itself: see
    `heads.temperature`.
    """

    accuracy: float
    """Share of the images, 0 to 1."""
    log_loss: float
    """Mean, in nats."""

    def __post_init__(self) -> None:
        if not (0 <= self.accuracy <= 1 and math.isfinite(self.log_loss) and self.log_loss >= 0):
            raise ValueError("an accuracy is from 0 to 1, and a log loss a number from 0")

    def is_better_than(self, other: Judged) -> bool:
        """Better in accuracy or log loss, and not worse in the other: one image more or less is soon chance, and what
        is more accurate by it but far less sure has not learnt."""
        mine, others = (self.accuracy, -self.log_loss), (other.accuracy, -other.log_loss)
        return mine != others and all(one >= another for one, another in zip(mine, others, strict=True))

    def to_json(self) -> dict[str, Json]:
        return {"accuracy": self.accuracy, "log_loss": self.log_loss}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What fine-tuning has gained: both classifiers on the same images."""

    images: int
    """Readable validation images."""
    head_only: Judged
    """The head on the network as it was."""
    finetuned: Judged
    """The tuned network and the tuned head, as they would be kept."""

    @property
    def is_better(self) -> bool:
        """Whether fine-tuning has made the classifier better."""
        return self.finetuned.is_better_than(self.head_only)

    def to_json(self) -> dict[str, Json]:
        return {
            "images": self.images,
            "head_only": self.head_only.to_json(),
            "finetuned": self.finetuned.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuned:
    """How fine-tuning has ended."""

    is_kept: bool
    """Whether the tuned model is the session's."""
    comparison: Comparison | None
    """None without validation images."""
    temperature: float
    """What the tuned head's logits are divided by, fitted on those images; 1.0: by nothing."""
    epochs: Mapping[str, list[float]]
    """`loss`, `accuracy` and, with validation images, `validation_loss` and `validation_accuracy` by epoch."""

    @classmethod
    def of(cls, state: PhaseState) -> FineTuned | None:
        """What a state says; None before the last. Raises `DamagedData`."""
        if not is_decided(state):
            return None
        named = {name: array for name, array in state.arrays.items() if name.startswith(EPOCHS_PREFIX)}
        return cls(
            is_kept=is_kept(state),
            comparison=comparison_of(state),
            temperature=tuned_temperature(state) if is_kept(state) else 1.0,
            epochs={name.removeprefix(EPOCHS_PREFIX): [*map(float, array)] for name, array in named.items()},
        )

    def to_json(self) -> dict[str, Json]:
        return {
            "kept": self.is_kept,
            "comparison": None if self.comparison is None else self.comparison.to_json(),
            "temperature": self.temperature,
            "epochs": {name: list[Json](values) for name, values in self.epochs.items()},
        }


def is_kept(state: PhaseState) -> bool:
    """Whether the fine-tuned model is the session's; False before the end of finetuning. Raises `DamagedData`."""
    kept = state.data.get(KEPT, False)
    if not isinstance(kept, bool):
        raise DamagedData(_KEY, f"{KEPT!r} is neither true nor false")
    return kept


def is_decided(state: PhaseState) -> bool:
    """Whether finetuning has ended."""
    return KEPT in state.data


def tuned_tensors(state: PhaseState) -> Arrays:
    """The network that is kept: float32 by names of its `state_dict()`. Raises `DamagedData` where none is kept."""
    tensors = {
        name.removeprefix(NETWORK_PREFIX): array
        for name, array in state.arrays.items()
        if name.startswith(NETWORK_PREFIX)
    }
    if not tensors or any(array.dtype != np.float32 for array in tensors.values()):
        raise DamagedData(_KEY, "it does not hold the float32 tensors of a network")
    return tensors


def tuned_head(state: PhaseState) -> Head:
    """The head that is kept, its logits divided by `tuned_temperature` already. Raises `DamagedData`."""
    return trained_head(state)


def tuned_temperature(state: PhaseState) -> float:
    """What the logits of that head were divided by; 1.0: by nothing. Raises `DamagedData`."""
    return temperature_of(state)


def comparison_of(state: PhaseState) -> Comparison | None:
    """The two classifiers on the validation images; None without any, and before the end. Raises `DamagedData`."""
    if COMPARISON not in state.data:
        return None
    with as_written(_KEY):
        stored = as_object(state.data[COMPARISON])
        return Comparison(
            images=as_count(stored["images"]),
            head_only=judged_from_json(as_object(stored["head_only"])),
            finetuned=judged_from_json(as_object(stored["finetuned"])),
        )


def judged_from_json(stored: Mapping[str, Json]) -> Judged:
    """Reads `Judged.to_json` back. Raises what `as_written` turns into `DamagedData`."""
    return Judged(accuracy=as_number(stored["accuracy"]), log_loss=as_number(stored["log_loss"]))
