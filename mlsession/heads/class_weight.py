"""How much a row of each class counts in the loss: as many choices as scikit-learn's `class_weight`; no torch.

loss = sum over rows of weight * loss / sum over rows of weight
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from mlsession.errors import InvalidParameter
from mlsession.session.phase import Array, Json

ClassWeight: TypeAlias = Literal["balanced"] | Mapping[str, float] | None
"""None: each row counts alike. "balanced": each class does. A mapping: by label; labels that it leaves out have 1."""


def checked_class_weight(value: object) -> ClassWeight:
    """A choice that holds, in memory of its own. Raises `InvalidParameter` for anything else."""
    if value is None or value == "balanced":
        return None if value is None else "balanced"
    if not isinstance(value, Mapping):
        raise InvalidParameter("class_weight", value, 'must be "balanced", None, or a weight for each label by name')
    weights: dict[str, float] = {}
    for label, weight in value.items():
        if not isinstance(label, str):
            raise InvalidParameter("class_weight", label, "labels are texts")
        known = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not (known and math.isfinite(weight) and weight > 0):
            raise InvalidParameter(f"class_weight[{label!r}]", weight, "a weight must be a finite number above 0")
        weights[label] = float(weight)
    if not weights:
        raise InvalidParameter("class_weight", dict(value), "names no label; use None to let each row count alike")
    return weights


def class_weight_to_json(choice: ClassWeight) -> Json:
    """The stored form: as it is, and labels with a number each."""
    return {**choice} if isinstance(choice, Mapping) else choice


def class_weight_from_json(data: Json) -> ClassWeight:
    """Read `class_weight_to_json` back. Raises `InvalidParameter`."""
    return checked_class_weight(data)


def class_weights(counts: Sequence[int] | Array, classes: Sequence[str], choice: ClassWeight) -> Array:
    """float64 [K]: the weight of a row of each class; `counts` [K] has the training rows of each, `classes` names it.

    "balanced" is N / (K * count), so that the weights of all rows sum to N; a class without rows has 1. Raises
    `InvalidParameter` for a label that no class has.
    """
    if choice is None:
        return np.ones(len(classes), dtype=np.float64)
    if isinstance(choice, Mapping):
        check_labels(choice, classes)
        return np.array([choice.get(name, 1.0) for name in classes], dtype=np.float64)
    amounts = np.asarray(counts, dtype=np.float64)
    return np.where(amounts > 0, amounts.sum() / (len(classes) * np.maximum(amounts, 1.0)), 1.0)


def check_labels(choice: ClassWeight, classes: Sequence[str]) -> None:
    """Raises `InvalidParameter` for a label that none of `classes` has."""
    for label in choice if isinstance(choice, Mapping) else ():
        if label not in classes:
            known = ", ".join(repr(name) for name in classes[:20]) + (", ..." if len(classes) > 20 else "")
            raise InvalidParameter("class_weight", label, f"no class has this label; the classes are {known}")
