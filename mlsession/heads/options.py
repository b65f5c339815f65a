"""What a person may choose about a head; values that are stored, free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mlsession.errors import InvalidParameter
from mlsession.session.phase import Json

KIND = "logistic_regressor"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticRegressor:
    """Multinomial logistic regression on features; see `mlsession.heads.logistic` for the objective and the solver."""

    l2: float | None = None
    """The penalty's strength in: mean cross-entropy + l2 / 2 * ||weights||^2, on features as they are; at least 0.

    scikit-learn's `C` is 1 / (rows * l2). None takes 10 * (mean variance of a feature) / rows, which does not depend
    on the unit of the features.
    """
    tolerance: float = 1e-5
    """The fit has converged when no element of the solver's gradient is larger than this."""

    def __post_init__(self) -> None:
        if self.l2 is not None and not (math.isfinite(self.l2) and self.l2 >= 0):
            raise InvalidParameter("l2", self.l2, "the penalty must be a finite number, 0 or more, or None")
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise InvalidParameter("tolerance", self.tolerance, "the tolerance must be a finite number above 0")

    def to_json(self) -> dict[str, Json]:
        """The stored form."""
        return {"kind": KIND, "l2": self.l2, "tolerance": self.tolerance}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> LogisticRegressor:
        """Read `to_json` back. Raises `InvalidParameter` for another kind or a wrong value."""
        if data.get("kind") != KIND:
            raise InvalidParameter("classifier", data.get("kind"), f"this is not a {KIND}")
        l2, tolerance = data.get("l2"), data.get("tolerance")
        if not (l2 is None or _is_number(l2)):
            raise InvalidParameter("l2", l2, "the penalty must be a number or null")
        if not _is_number(tolerance):
            raise InvalidParameter("tolerance", tolerance, "the tolerance must be a number")
        return cls(l2=None if l2 is None else float(l2), tolerance=float(tolerance))  # type: ignore[arg-type]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
