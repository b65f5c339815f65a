"""What is advised, as values: one rule's finding, and the verdict that is made of all of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

from mlsession.advising.page import verdict_html
from mlsession.session.phase import Json


class Severity(StrEnum):
    """How far a finding goes; the first comes first."""

    FIGURES = "figures"
    """The figures do not mean what they seem to."""
    PROVEN = "proven"
    """It costs accuracy, by more than chance can explain."""
    RISK = "risk"
    """It is known to make models poor; whether it does here, too few images tell."""
    UNKNOWN = "unknown"
    """Nobody can tell how good the model is."""
    NONE = "none"
    """Nothing stands out."""


class Lever(StrEnum):
    """What a next step changes."""

    NONE = "none"
    """Nothing of the model: it is looked, or measured."""
    LABELS = "labels"
    IMAGES = "images"
    """Which images there are, or how many."""
    WEIGHTS = "weights"
    """How much images of each class count."""
    ITERATIONS = "iterations"
    """More of them."""
    CAPACITY = "capacity"
    """More: what is trained, or what it is trained on, can express more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What one rule has found."""

    rule: str
    """Its name in `verdict.RULES`."""
    severity: Severity
    limit: str
    """What limits the model, without a period."""
    evidence: str
    """The figures that show it, without a period."""
    next_step: str
    """The one thing to try, without a period."""
    command: tuple[str, ...] = ()
    """It as words of a command line, from the name of the command on; () where there is none."""
    lever: Lever
    gain: float = 0.0
    """The share of images, 0 to 1, that are predicted wrongly for it at least, as far as the figures prove it."""
    labels: tuple[str, ...] = ()
    """The classes it is about; () for all."""
    share_of_mistakes: float = 1.0
    """Of one about some classes, which share of all mistakes it accounts for, 0 to 1."""

    @property
    def command_line(self) -> str:
        """The command as a shell takes it; "" without one."""
        return shlex.join(["mlsession", *self.command]) if self.command else ""

    def to_json(self) -> dict[str, Json]:
        """A JSON object with the same members; `command` as a line, or None."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "limit": self.limit,
            "evidence": self.evidence,
            "next_step": self.next_step,
            "command": self.command_line or None,
            "gain": self.gain,
        }

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.limit}: {self.evidence}", f"try: {self.next_step}", *filter(None, [self.command_line])]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What limits a model, and what to do next."""

    advice: Advice
    """What counts most."""
    others: tuple[Advice, ...] = ()
    """What else was found, in order."""

    @property
    def limit(self) -> str:
        """What limits the model."""
        return self.advice.limit

    @property
    def next_step(self) -> str:
        """The one thing to try."""
        return self.advice.next_step

    @property
    def evidence(self) -> str:
        """The figures that show the limit."""
        return self.advice.evidence

    def to_json(self) -> dict[str, Json]:
        """The members of the advice, and `others`, a list of such objects."""
        return {**self.advice.to_json(), "others": [each.to_json() for each in self.others]}

    def _repr_html_(self) -> str:
        return verdict_html(self)

    def __str__(self) -> str:
        return str(self.advice)
