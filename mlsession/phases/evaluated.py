"""What evaluating leaves behind, for those who only read it; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlsession.errors import DamagedData
from mlsession.metrics.evaluation import WHOLE_NUMBERS, EvaluationSums
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_list, as_object
from mlsession.session.phase import Array, Json, Past, Phase, PhaseState

PartName = Literal["training", "validation", "test"]
PARTS: tuple[PartName, ...] = ("training", "validation", "test")
MEASURED: tuple[PartName, ...] = ("validation", "test")
"""The parts that nothing is trained on, so that what is found on them is to be expected of other images."""
SHORT_SIDES = "short_sides"
"""Under that name a last state has what `short_sides_of` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaked:
    """Images of a part of `MEASURED` that are also trained on, byte for byte."""

    images: int = 0
    right: int = 0
    """Those of them that are predicted rightly."""

    def add(self, images: int, right: int) -> Leaked:
        """These too."""
        return Leaked(images=self.images + images, right=self.right + right)

    def to_json(self) -> dict[str, Json]:
        return {"images": self.images, "right": self.right}


def leaked_of(state: PhaseState) -> dict[str, Leaked]:
    """By part of `MEASURED`, what a state of evaluating counts. Raises `DamagedData` for another state."""
    with as_written("state of evaluating"):
        counted = as_object(state.data["leaked"])
        parts = {part: as_object(counted[part]) for part in MEASURED}
        return {
            name: Leaked(images=as_count(part["images"]), right=as_count(part["right"])) for name, part in parts.items()
        }


def short_sides_of(state: PhaseState) -> tuple[int | None, ...]:
    """Pixels of the shorter side of each of some training images, None where the file is too large for a small picture.

    () where nobody could tell, as in sessions of earlier versions. Raises `DamagedData` for another state.
    """
    with as_written("state of evaluating"):
        listed = as_list(state.data.get(SHORT_SIDES, []))
        return tuple(None if side is None else as_count(side) for side in listed)


def encode_sums(sums: Mapping[str, EvaluationSums]) -> tuple[dict[str, Array], dict[str, Json]]:
    """The sums by part: the arrays of `EvaluationSums.to_phase_state` as `<part>.<name>`, and its data by name, then by
    part.
    """
    saved = {part: of_part.to_phase_state() for part, of_part in sums.items()}
    arrays = {f"{part}.{name}": array for part, state in saved.items() for name, array in state.arrays.items()}
    return arrays, {name: {part: state.data[name] for part, state in saved.items()} for name in WHOLE_NUMBERS}


def sums_of(state: PhaseState, num_classes: int) -> dict[str, EvaluationSums]:
    """The sums by part in a state of evaluating. Raises `DamagedData` for those of another number of classes."""
    numbers = {name: state.data.get(name) for name in WHOLE_NUMBERS}
    # Tables of K by K are made of what is said here: not of any K that a state claims.
    ranks = [state.arrays[f"{part}.ranks"] for part in PARTS]
    is_whole = all(isinstance(by_part, dict) for by_part in numbers.values())
    if not is_whole or any(array.shape != (num_classes,) for array in ranks):
        raise DamagedData("state of evaluating", f"it does not hold the sums of {num_classes} classes")
    return {
        part: EvaluationSums.from_phase_state(
            PhaseState(
                {
                    name.removeprefix(f"{part}."): array
                    for name, array in state.arrays.items()
                    if name.startswith(f"{part}.")
                },
                {name: by_part[part] for name, by_part in numbers.items() if isinstance(by_part, dict)},
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
