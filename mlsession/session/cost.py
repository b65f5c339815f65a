"""What saving costs, as the engine itself measures it; for people and programs, nothing is decided by it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlsession.session.log.members import as_number, as_object
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingCost:
    """Seconds of one opening of a session, by a monotonic clock."""

    elapsed: float
    """From where it began to drive phases to the end of the newest step."""
    waited: float
    """Of these, what saving took from the work: taking snapshots, handing them over, waiting for a save to end."""
    stored: float
    """What saves took in the background, beside the work: writing, reading back, committing."""

    @property
    def overhead(self) -> float:
        """The share of the time that saving took from the work, 0 to 1."""
        return min(self.waited / self.elapsed, 1.0)

    def to_json(self) -> dict[str, Json]:
        return {"elapsed": float(self.elapsed), "waited": float(self.waited), "stored": float(self.stored)}

    @staticmethod
    def from_json(value: Json) -> SavingCost | None:
        """Reads `to_json` back; None for anything else: it is for display only."""
        try:
            item = as_object(value)
            elapsed, waited, stored = (as_number(item[name]) for name in ("elapsed", "waited", "stored"))
        except (KeyError, ValueError):
            return None
        fits = 0 < elapsed < math.inf and 0 <= waited < math.inf and 0 <= stored < math.inf
        return SavingCost(elapsed=elapsed, waited=waited, stored=stored) if fits else None


class CostMeter:
    """Adds it up. The job's thread and the saver's each set their own part; any may look."""

    def __init__(self) -> None:
        self._worked = (0.0, 0.0)
        self._stored = 0.0

    def worked(self, elapsed: float, waited: float) -> None:
        """So many seconds have passed by now, and so many more of them were the saving's."""
        self._worked = (elapsed, self._worked[1] + waited)

    def stored(self, seconds: float) -> None:
        """A save has taken so long in the background."""
        self._stored += seconds

    @property
    def cost(self) -> SavingCost | None:
        """As of now; None before there was any work."""
        elapsed, waited = self._worked
        if not elapsed > 0:
            return None
        return SavingCost(elapsed=elapsed, waited=waited, stored=self._stored)
