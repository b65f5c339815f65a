"""What a classifier says of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsession.display.html import bar, card
from mlsession.session.phase import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The best label, and the best few with their probabilities."""

    label: str
    confidence: float
    """Probability of `label`, 0 to 1."""
    top: tuple[tuple[str, float], ...] = ()
    """(label, probability), best first."""

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


def prediction_of(labels: Sequence[str], probabilities: Array, top: int) -> Prediction:
    """The prediction that probabilities [K] give; equal ones keep the order of the labels."""
    best = np.argsort(-probabilities, kind="stable")[: max(top, 1)]
    ranked = tuple((labels[place], float(probabilities[place])) for place in best)
    return Prediction(label=ranked[0][0], confidence=ranked[0][1], top=ranked[:top])
