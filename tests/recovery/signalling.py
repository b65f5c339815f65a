"""Signals at every moment of a small task: what must come of each, and the check that it does."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlsession.job.signals import SIGNALS
from mlsession.store.local import LocalStore
from mlsession.testing.invariants import Facts, check_session
from tests.recovery.nursery import Nursery
from tests.store.processes import temporaries

LIMIT = 10
"""Steps of the first phase; the second has two."""
MOMENTS = (
    *("before create probe/", "before create log/0000000000", "after create log/0000000000"),
    *("before create log/0000000001", "after create log/0000000001"),
    *("step walking 1", "step walking 5", "step walking 9", "step walking 10", "step summing 1"),
    *("before put blobs/ 1", "after put blobs/ 2", "before create log/0000000002", "after create log/0000000002"),
)
"""While the session is made, while it is opened, in the work of both phases, during a save."""
TOO_LATE = ("step summing 2", "before create log/0000000008")
"""In the very last step, and while the end of the session is recorded: then the job is as good as done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One moment, and the signals that come then, one after the other."""

    moment: str
    signals: tuple[signal.Signals, ...]

    @property
    def stops_at_once(self) -> bool:
        """Whether one of them is a second Ctrl-C, or a first one after another signal."""
        return signal.SIGINT in self.signals[1:]

    def __str__(self) -> str:
        return f"{', '.join(number.name for number in self.signals)} {self.moment}"


def cases() -> tuple[Case, ...]:
    """Every moment with each signal: alone, sent again by an impatient system, and with Ctrl-C to follow."""
    followed = itertools.product(MOMENTS, SIGNALS, (0, 1, 2, 3))
    return tuple(
        Case(moment=moment, signals=_followed_by(number, kind))
        for moment, number, kind in followed
        if not (kind == 1 and number == signal.SIGINT)
    )


def _followed_by(number: signal.Signals, kind: int) -> tuple[signal.Signals, ...]:
    match kind:
        case 0:
            return (number,)
        case 1:
            return (number, number, signal.SIGTERM, number)
        case 2:
            return (number, signal.SIGINT)
        case _:
            return (number, signal.SIGINT, signal.SIGINT)


def unbroken(nursery: Nursery, folder: Path) -> str:
    """What a run says that nothing disturbs."""
    code, output, _ = nursery.run("walk", folder / "unbroken", "--limit", str(LIMIT))
    assert code == 0
    return output


def check_case(nursery: Nursery, session: Path, case: Case, expected: str) -> int:
    """Strikes at a case's moment, checks what is left, and that the same line goes on to the expected end.

    Returns how many steps more than the one that was being worked on were done before the job stopped.
    """
    line = [str(session), "--limit", str(LIMIT)]
    names = ",".join(number.name for number in case.signals)
    # Whoever stops at once does not wait for the work, so it never goes on.
    stuck = ["--hang"] if case.stops_at_once else []
    code, output, errors = nursery.run("walk", *line, "--at", case.moment, "--signals", names, *stuck)
    assert code == 75, f"{case}: {code}: {errors}"
    assert "Traceback" not in errors, errors
    assert "stopped: " in errors or len(case.signals) == 3, errors
    facts = check_session(LocalStore(session))
    late = 0
    if not case.stops_at_once:
        assert facts is not None
        late = _steps_after(output, facts)
        body = facts.records[-1].body
        assert (body["outcome"], body["reason"]) == ("interrupted", f"signal {case.signals[0].name}")
        assert temporaries(session) == []
    code, again, errors = nursery.run("walk", *line)
    assert (code, again) == (0, expected), f"{case}: {errors}"
    assert check_session(LocalStore(session)) is not None
    return late


def _steps_after(output: str, facts: Facts) -> int:
    """How many steps a stopped job has done that it had not begun when it took the signal."""
    phase, iteration = _words(output, "struck")
    struck = _place(phase, int(iteration)) if phase else 0
    done = max((_place(entry.phase, entry.iteration) for entry in facts.checkpoints), default=0)
    return max(done - struck, 0)


def _words(output: str, first: str) -> Sequence[str]:
    line = next(line for line in output.splitlines() if line.startswith(first))
    words = line.split()[1:]
    return words if len(words) == 2 else ("", *words)


def _place(phase: str, iteration: int) -> int:
    return iteration if phase == "walking" else LIMIT + iteration
