"""What evaluating leaves behind, for those who only read it; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from mlsession.errors import DamagedData
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.phase import Array, Json, Past, Phase, PhaseState

PartName = Literal["training", "validation", "test"]
PARTS: tuple[PartName, ...] = ("training", "validation", "test")


def encode_sums(sums: Mapping[str, EvaluationSums]) -> tuple[dict[str, Array], dict[str, Json]]:
    """The sums by part: the arrays of `EvaluationSums.to_phase_state` as `<part>.<name>`, and `loss_units` by part."""
    saved = {part: of_part.to_phase_state() for part, of_part in sums.items()}
    arrays = {f"{part}.{name}": array for part, state in saved.items() for name, array in state.arrays.items()}
    return arrays, {part: state.data["loss_units"] for part, state in saved.items()}


def sums_of(state: PhaseState, num_classes: int) -> dict[str, EvaluationSums]:
    """The sums by part in a state of evaluating. Raises `DamagedData` for those of another number of classes."""
    units = state.data["loss_units"]
    # Tables of K by K are made of what is said here: not of any K that a state claims.
    ranks = [state.arrays[f"{part}.ranks"] for part in PARTS]
    if not isinstance(units, dict) or any(array.shape != (num_classes,) for array in ranks):
        raise DamagedData("state of evaluating", f"it does not hold the sums of {num_classes} classes")
    return {
        part: EvaluationSums.from_phase_state(
            PhaseState(
                {
                    name.removeprefix(f"{part}."): array
                    for name, array in state.arrays.items()
                    if name.startswith(f"{part}.")
                },
                {"loss_units": units[part]},
            )
        )
        for part in PARTS
    }


def metrics_of(state: PhaseState, classes: tuple[str, ...]) -> dict[str, ClassifierMetrics]:
    """The metrics by part that the last state of evaluating amounts to; parts without images are absent."""
    return {
        part: ClassifierMetrics.of(sums, classes) for part, sums in sums_of(state, len(classes)).items() if sums.count
    }


def results_of(past: Past, part: PartName) -> dict[str, Array]:
    """What was said of the images of a part, in order: `row` and the columns of `result_columns`; {} without any.

    Raises `DamagedData`.
    """
    code = PARTS.index(part)
    found: list[dict[str, Array]] = []
    for block in past.rows(Phase.EVALUATING):
        chosen = block["part"] == code
        if chosen.any():
            found.append({name: array[chosen] for name, array in block.items() if name != "part"})
    return {name: np.concatenate([block[name] for block in found]) for name in (found[0] if found else ())}
