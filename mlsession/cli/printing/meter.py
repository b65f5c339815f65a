"""How fast a phase goes and how long it will take: a pure fold of its progress reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from mlsession.cli.printing.text import number_of
from mlsession.events import Event, PhaseStarted, Progressed

IMAGE_PHASES = frozenset({"choosing", "extracting", "finetuning", "evaluating", "inferencing"})
"""Phases whose items are images."""
UNITS: Mapping[str, str] = MappingProxyType({**dict.fromkeys(IMAGE_PHASES, "images"), "selecting": "fits"})
"""What is counted by phase, in the plural; iterations in others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """The present phase."""

    phase: str
    begin: Progressed | None = None
    """The first report of this job, which speed is measured from: it holds what earlier jobs had done, and the time
    that loading took."""
    latest: Progressed | None = None

    @property
    def unit(self) -> str:
        """What is counted, in the plural."""
        return UNITS.get(self.phase, "iterations")

    @property
    def done(self) -> int:
        return self.latest.item_count if self.latest else 0

    @property
    def counted(self) -> str:
        """ "1 iteration", "1,200 images"."""
        return number_of(self.done, self.unit.removesuffix("s"))

    @property
    def total(self) -> int | None:
        return self.latest.total_items if self.latest else None

    @property
    def rate(self) -> float | None:
        """Items in a second, in this job; None while nobody knows."""
        if self.latest is None or self.begin is None:
            return None
        passed = self.latest.elapsed - self.begin.elapsed
        return (self.latest.item_count - self.begin.item_count) / passed if passed > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Until the phase has done all its items at this rate; it may end before."""
        return (self.total - self.done) / self.rate if self.total and self.rate else None


def meter_after(meter: Meter | None, event: Event) -> Meter | None:
    """The meter after one more event; None before the first phase."""
    match event:
        case PhaseStarted():
            return Meter(phase=event.phase)
        case Progressed():
            meter = meter or Meter(phase=event.phase)
            return replace(meter, begin=meter.begin or event, latest=event)
        case _:
            return meter
