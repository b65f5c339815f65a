"""What a classifier says of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsession.display.html import bar, card
from mlsession.errors import InvalidParameter
from mlsession.session.phase import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The best label, and the best few with their probabilities."""

    label: str
    confidence: float
    """Probability of `label`, 0 to 1."""
    top: tuple[tuple[str, float], ...] = ()
    """(label, probability), best first."""

    def is_confident(self, min_confidence: float) -> bool:
        """Whether it is at least so sure, from 0 to 1; `ClassifierMetrics.reject` says what to ask for.

        Raises `InvalidParameter` for what is no probability.
        """
        return self.confidence >= checked_confidence(min_confidence)

    def to_json(self) -> dict[str, object]:
        """A JSON object; `top` as a list of {label, confidence}."""
        return {
            "label": self.label,
            "confidence": self.confidence,
            "top": [{"label": label, "confidence": confidence} for label, confidence in self.top],
        }

    def _repr_html_(self) -> str:
        ranked = [bar(confidence, f"{label}  {confidence:.1%}") for label, confidence in self.top]
        return card(self.label, f"{self.confidence:.1%}", ranked)


def checked_confidence(value: float) -> float:
    """A least confidence. Raises `InvalidParameter` for what is not from 0 to 1."""
    if not 0.0 <= value <= 1.0:
        raise InvalidParameter("min_confidence", value, "must lie from 0 to 1")
    return value


def prediction_of(labels: Sequence[str], probabilities: Array, top: int) -> Prediction:
    """The prediction that probabilities [K] give; equal ones keep the order of the labels."""
    best = np.argsort(-probabilities, kind="stable")[: max(top, 1)]
    ranked = tuple((labels[place], float(probabilities[place])) for place in best)
    return Prediction(label=ranked[0][0], confidence=ranked[0][1], top=ranked[:top])
