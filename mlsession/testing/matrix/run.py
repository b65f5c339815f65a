"""Running a case: a first process meets its fault, at least two processes in a row die, and a last one finishes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from mlsession.errors import DamagedData, MLSessionError, SessionTakenOver
from mlsession.session.log.journal import Journal
from mlsession.session.log.records import Outcome
from mlsession.session.writer import SessionWriter
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import Call, Fault, FaultPlan, FaultyStore, Process, ProcessDied, no_faults
from mlsession.testing.invariants import InvariantBroken, check_session
from mlsession.testing.matrix.cases import Case, cases_of
from mlsession.testing.matrix.scenarios import SCENARIOS, Prepared, Scenario, WalkResult
from mlsession.testing.matrix.watch import SessionWatch, WatchedStore

SURVIVED = frozenset(
    {
        *(Fault.LOST_REPLY, Fault.EXISTS, Fault.CONFLICT, Fault.UNAVAILABLE, Fault.TIMED_OUT, Fault.STALE_LISTING),
        *(Fault.FLIPPED_BIT, Fault.TRUNCATED, Fault.SWAPPED),
    }
)
"""What costs nothing if it comes once: no attempt ends by it, and no checkpoint is passed over."""

_FOREIGN = {"notes.txt": b"not a session's", "blobs/old/notes.txt": b"nor this", "log/readme.txt": b"nor that"}
"""Files that lie beside the session's, put there once it has begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """How a case went."""

    case: Case
    reached: bool
    """Whether the first process made the call at all: threads may take turns differently from one run to the next."""
    crashes: int
    calls: int
    """Numbered calls of all processes."""
    changes: int
    """Calls after which the invariants were checked."""
    matches: bool
    """Whether the result is that of the run that nothing disturbed, to the bit."""
    broken: tuple[str, ...]
    """Invariants that did not hold, and what else went wrong."""
    lost: tuple[int, ...]
    """Steps of the first phase that were taken again, for each process that went on with it."""
    interval: int
    """Steps from one checkpoint to the next."""
    has_damage: bool
    """Whether a checkpoint had been damaged: then the work that led to it goes, too."""


class Matrix:
    """The cases of all scenarios, and what their undisturbed runs give; makes each of them once."""

    def __init__(self, scenarios: Iterable[Scenario] = SCENARIOS) -> None:
        self._scenarios = {scenario.name: scenario for scenario in scenarios}
        self._prepared: dict[str, Prepared] = {}
        self._expected: dict[str, tuple[WalkResult, tuple[Call, ...]]] = {}

    def cases(self, seed: int = 0) -> tuple[Case, ...]:
        """All of them, scenario by scenario."""
        return tuple(
            case
            for name, scenario in self._scenarios.items()
            for case in cases_of(name, self._undisturbed(name)[1], scenario.faults, seed)
        )

    def run(self, case: Case) -> CaseReport:
        """Runs one case to its end."""
        expected, _ = self._undisturbed(case.scenario)
        return _Run(case, self._scenarios[case.scenario], self._prepare(case.scenario), expected).report()

    def _prepare(self, name: str) -> Prepared:
        if name not in self._prepared:
            self._prepared[name] = self._scenarios[name].prepare()
        return self._prepared[name]

    def _undisturbed(self, name: str) -> tuple[WalkResult, tuple[Call, ...]]:
        """The result of a run from the very beginning, and the calls of one from where the scenario begins."""
        if name not in self._expected:
            scenario, process, space = self._scenarios[name], Process(), self._prepare(name).new_space()
            scenario.run(lambda: FaultyStore(MemoryStore(space), process), FakeClock(), _no_step)
            whole = MemorySpace()
            result = scenario.run(lambda: MemoryStore(whole), FakeClock(), _no_step)
            self._expected[name] = (result, process.calls)
        return self._expected[name]


@dataclass(kw_only=True)
class _Steps:
    """Which steps of the first phase were taken, and taken again."""

    reached: int = 0
    lost: list[int] = field(default_factory=list)
    _begins: bool = False

    def new_process(self) -> None:
        self._begins = True

    def take(self, turn: int) -> None:
        if self._begins:
            self._begins = False
            if self.reached:
                self.lost.append(max(self.reached - turn + 1, 0))
        self.reached = max(self.reached, turn)


class _Run:
    """One case under way."""

    def __init__(self, case: Case, scenario: Scenario, prepared: Prepared, expected: WalkResult) -> None:
        self._case = case
        self._scenario = scenario
        self._expected = expected
        self._prepared = prepared
        self._space = prepared.new_space()
        self._watch = SessionWatch(self._store(), tears=scenario.tears, damaged=prepared.damaged)
        self._steps = _Steps()
        self._crashes = self._calls = 0
        self._wrong: list[str] = []
        self._has_foreign = False

    def report(self) -> CaseReport:
        first, second, third = self._case.plans()
        reached, _ = self._attempt(first, "the first process", survives=self._case.fault in SURVIVED)
        self._attempt(second, "the second process", survives=True)
        for _ in range(2 - self._crashes):  # The run was over before it came to its deaths.
            self._attempt(third, "a process that found all done", survives=True)
        _, result = self._attempt(no_faults, "the last process", survives=True)
        self._check_end()
        most = 2 * self._scenario.interval
        has_damage = bool(self._prepared.damaged)
        if max(self._steps.lost, default=0) > most and not has_damage:
            self._wrong.append(f"{max(self._steps.lost)} steps were taken again, and {most} may be")
        return CaseReport(
            case=self._case,
            reached=reached,
            crashes=self._crashes,
            calls=self._calls,
            changes=self._watch.changes,
            matches=result == self._expected,
            broken=(*self._watch.broken, *self._wrong),
            lost=tuple(self._steps.lost),
            interval=self._scenario.interval,
            has_damage=has_damage,
        )

    def _store(self) -> MemoryStore:
        return MemoryStore(self._space)

    def _attempt(self, plan: FaultPlan, who: str, survives: bool) -> tuple[bool, WalkResult | None]:
        """Runs one process; whether it met what was planned, and its result if it got so far.

        `survives`: nothing but its death may end it before its task does.
        """
        process, result = Process(plan, clock=FakeClock()), None
        self._steps.new_process()
        try:
            result = self._scenario.run(
                lambda: FaultyStore(WatchedStore(self._store(), self._watch), process, tears=self._scenario.tears),
                FakeClock(),
                self._steps.take,
            )
        except ProcessDied:
            self._crashes += 1
        except MLSessionError as error:
            if survives:
                self._wrong.append(f"{who} was ended by {type(error).__name__}: {error}")
        self._calls += len(process.calls)
        if process.is_dead and result is not None:
            self._wrong.append(f"{who} died, and gave a result all the same")
        self._lay_foreign_files()
        return bool(process.met), result

    def _lay_foreign_files(self) -> None:
        if not self._has_foreign and self._watch.has_begun:
            self._has_foreign = True
            for key, data in _FOREIGN.items():
                self._store().put(key, data)

    def _check_end(self) -> None:
        stored = {key: self._space.values[key].data for key in _FOREIGN if key in self._space.values}
        if self._has_foreign and stored != _FOREIGN:
            self._wrong.append(f"foreign files were changed: {sorted(_FOREIGN.keys() - stored.keys())} are gone")
        try:
            state = Journal(self._store()).load()
        except DamagedData as damage:
            self._wrong.append(f"in the end no session can be read: {damage}")
            return
        closed = state.timeline.closed if state is not None else None
        if closed is None or closed.body.get("outcome") != Outcome.FINISHED:
            self._wrong.append("the log does not say that the session is finished")
        self._check_whole_log()
        if self._scenario.take_over:
            self._wrong.extend(self._zombie())

    def _check_whole_log(self) -> None:
        """All that is stored, read anew: what the watch knows it from is only what was written."""
        ours = MemorySpace()
        ours.values = {key: value for key, value in self._space.values.items() if key not in _FOREIGN}
        try:
            check_session(MemoryStore(ours), self._watch.torn)
        except (InvariantBroken, DamagedData) as error:
            self._wrong.append(f"in the end: {error}")

    def _zombie(self) -> Iterator[str]:
        """The writer that was taken over from wakes up, and must find itself fenced out."""
        last = self._prepared.last_record
        state = Journal(self._store()).load(last)
        if state is None or state.timeline.tip.number != last:
            yield "the records of the writer that was taken over from are gone"
            return
        before = dict(self._space.values)
        asleep = SessionWriter(
            self._store(), FakeClock(), replace(state, end=last, end_digest=""), state.timeline.opened.writer
        )
        try:
            asleep.close(Outcome.PAUSED, "")
        except SessionTakenOver:
            if self._space.values != before:
                yield "a writer that had been taken over from changed something"
        else:
            yield "a writer that had been taken over from could still write"


def _no_step(turn: int) -> None:
    return
