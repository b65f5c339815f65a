"""What a child has said so far: where it is, in numbers and words. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.storm.child import ENDING, OPENING

STARTING = "starting"
BETWEEN = "between calls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What a run that nobody disturbed did: moments of kills are drawn over this."""

    phases: tuple[str, ...]
    """Those of the task, in order."""
    calls: Mapping[str, int]
    """Numbered store calls by phase, `OPENING` and `ENDING` included."""
    kinds: Mapping[str, int]
    """Numbered store calls of opening, by kind."""
    seconds: Mapping[str, float]
    """How long each phase took, `STARTING` included."""
    steps: Mapping[str, int]
    """How many each phase had."""
    call_seconds: float
    """How long a numbered store call took, on average."""

    @property
    def total_calls(self) -> int:
        return sum(self.calls.values())

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())

    def spacing(self, phase: str) -> float:
        """Seconds from one call of a phase to the next, on average."""
        return self.seconds.get(phase, 0.0) / max(self.calls.get(phase, 0), 1)


@dataclass(slots=True, kw_only=True)
class Watch:
    """Hears a child's announcements (see `child`)."""

    launched: float
    """When it was started, by the machine's monotonic clock, in seconds."""
    phase: str = STARTING
    newest: float = 0.0
    """When it last said something."""
    first_step: float | None = None
    first_call: float | None = None
    step: tuple[str, int] | None = None
    """The newest step: phase and iteration."""
    _began: dict[str, float] = field(default_factory=dict)
    _in_flight: dict[int, tuple[str, float]] = field(default_factory=dict)
    _call_seconds: float = 0.0
    _steps: dict[str, int] = field(default_factory=dict)
    _kinds: dict[str, Counter[str]] = field(default_factory=dict)

    def hear(self, line: str) -> None:
        """Takes one line."""
        moment, what, *words = line.split(" ")
        self.newest = at = float(moment)
        match what, words:
            case "call", [number, kind]:
                self.first_call = self.first_call or at
                self._in_flight[int(number)] = (kind, at)
                if int(number) > 0:
                    self._kinds.setdefault(self.phase, Counter())[kind] += 1
            case "done", [number]:
                _, since = self._in_flight.pop(int(number))
                self._call_seconds += at - since if int(number) > 0 else 0.0
            case "phase", [name]:
                self._enter(name, at)
            case "step", [phase, iteration]:
                self.step = (phase, int(iteration))
                self._steps[phase] = int(iteration)
                self.first_step = self.first_step or at
            case _:
                return

    @property
    def kind(self) -> str:
        """The store call that is being made, the newest of several, a heartbeat only where there is no other."""
        return self._in_flight[max(self._in_flight)][0] if self._in_flight else BETWEEN

    def census(self, ended: float) -> Census:
        """What the whole run did that ended then."""
        names = list(self._began)
        ends = [*(self._began[name] for name in names[1:]), ended]
        spent = {name: end - self._began[name] for name, end in zip(names, ends, strict=True)}
        num_calls = sum(kinds.total() for kinds in self._kinds.values())
        return Census(
            phases=tuple(name for name in names if name not in (OPENING, ENDING)),
            calls={name: self._kinds.get(name, Counter()).total() for name in names},
            kinds=dict(self._kinds.get(OPENING, {})),
            seconds={STARTING: (self.first_call or ended) - self.launched, **spent},
            steps=dict(self._steps),
            call_seconds=self._call_seconds / max(num_calls, 1),
        )

    def opening_kinds(self) -> Counter[str]:
        """Numbered store calls before the first phase, by kind."""
        return Counter(self._kinds.get(OPENING, {}))

    def _enter(self, phase: str, at: float) -> None:
        self.phase = phase
        self._began.setdefault(phase, at)
