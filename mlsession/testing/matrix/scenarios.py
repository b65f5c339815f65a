"""What is trained while the store fails: small sessions that between them pass through all that the engine does.

Every scenario has two phases; what lies in the store when its first attempt begins is made once, and copied for each
case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mlsession.clock import Clock
from mlsession.session.attempt import Surroundings, advance_session
from mlsession.session.drive import DriveOptions
from mlsession.session.identity import Identity, check_compatible
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import record_key, record_number
from mlsession.session.opening import OpenOptions, create_session, find_session
from mlsession.session.policy import EveryIterations
from mlsession.session.retention import Retention
from mlsession.session.stop import StopFlag
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.store.retrying import Backoff
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import CRASHES, Fault, FaultyStore, Operation, Process, ProcessDied, at
from mlsession.testing.walk import Walk

WalkResult = tuple[int, bytes, str, str]
OpenStore = Callable[[], Store]
_BEAT_SECONDS = 3600.0
"""One sign of life an attempt."""
_ROLL_AT = 60
"""Records of the session that is about to sum its log up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a store holds before the first attempt of a case."""

    contents: Mapping[str, bytes] = field(default_factory=dict)
    damaged: frozenset[str] = frozenset()
    """Keys of it that were damaged on purpose."""

    @property
    def last_record(self) -> int:
        """The largest number of a record; -1 where there is none."""
        return max((number for key in self.contents if (number := record_number(key)) is not None), default=-1)

    def new_space(self) -> MemorySpace:
        """A space of its own with these contents."""
        space = MemorySpace()
        store = MemoryStore(space)
        for key, data in self.contents.items():
            store.put(key, data)
        return space


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A task, how it is run, and from where."""

    name: str
    task: Walk
    interval: int = 1
    """Iterations from one checkpoint to the next."""
    retention: Retention = field(default_factory=Retention)
    tears: bool = False
    """Whether the store leaves half of the bytes where a kill comes in the middle of a write."""
    take_over: bool = False
    faults: frozenset[Fault] = frozenset(Fault) - {Fault.CRASH_HALFWAY, Fault.DELAY}
    """What is tried at each call; a crash halfway is one before where nothing tears, and a delay changes nothing."""
    prepare: Callable[[], Prepared] = Prepared

    def run(self, open_store: OpenStore, clock: Clock, on_step: Callable[[int], None]) -> WalkResult:
        """One attempt, in the calling thread and those of the engine; raises what ends it."""
        return run_attempt(self, open_store, clock, replace(self.task, on_step=on_step))


def run_attempt(scenario: Scenario, open_store: OpenStore, clock: Clock, task: Walk) -> WalkResult:
    """Creates or finds the session, and takes it to its result: what a job does, without the job's own thread."""
    around = Surroundings(
        open_store=open_store,
        clock=clock,
        backoff=Backoff(first=0.1, longest=1.0, give_up_after=60.0),
        emit=lambda event: None,
        stop=StopFlag(),
        beat_seconds=_BEAT_SECONDS,
    )
    identity = Identity(task=task.name, phases=task.phases, parameters=task.parameters)
    store = around.open_patient_store()
    try:
        state = find_session(store) or create_session(store, clock, identity, {}, around.emit)
        check_compatible(Identity.from_record(state.timeline.opened).parameters, task.parameters, "go back")
    finally:
        store.close()
    # The writer before is dead, and the clock stands still: waiting for its heartbeat would never end.
    opening = OpenOptions(stale_after=10.0**9 if scenario.take_over else 0.0, take_over=scenario.take_over)
    drive = DriveOptions(
        policy=EveryIterations(iterations=scenario.interval),
        report_interval=5,
        grace_seconds=25.0,
        retention=scenario.retention,
    )
    return advance_session(task, around, opening, drive)


def _contents(space: MemorySpace) -> dict[str, bytes]:
    return {key: value.data for key, value in space.values.items()}


def _run_on(space: MemorySpace, task: Walk, interval: int) -> None:
    run_attempt(Scenario(name="", task=task, interval=interval), lambda: MemoryStore(space), FakeClock(), task)


def _finished(task: Walk, interval: int) -> Prepared:
    space = MemorySpace()
    _run_on(space, task, interval)
    return Prepared(contents=_contents(space))


def _cut(task: Walk, interval: int, key: str) -> Prepared:
    """A session whose writer died after it had created `key`."""
    space = MemorySpace()
    process = Process(lambda call: Fault.CRASH_AFTER if (call.operation, call.key) == (Operation.CREATE, key) else None)
    scenario = Scenario(name="", task=task, interval=interval)
    try:
        run_attempt(scenario, lambda: FaultyStore(MemoryStore(space), process), FakeClock(), task)
    except ProcessDied:
        return Prepared(contents=_contents(space))
    raise ValueError(f"{key} was never created")


def _damaged(task: Walk, interval: int) -> Prepared:
    """A finished session whose newest state of the first phase has lost a bit."""
    before = _finished(task, interval)
    state = Journal(MemoryStore(before.new_space())).load()
    if state is None:
        raise ValueError("nothing was written")
    key = state.timeline.newest[task.phases[0]].state.key
    flipped = FaultyStore(MemoryStore(before.new_space()), Process(at(1, Fault.FLIPPED_BIT))).get(key)
    return Prepared(contents={**before.contents, key: flipped}, damaged=frozenset({key}))


_TEN = Walk(limit=10)
_PLAIN = Scenario(name="plain", task=_TEN, interval=3)
_EXTENDED = Scenario(name="extended", task=Walk(limit=14), interval=2, prepare=lambda: _finished(_TEN, 3))
_RETAINED = Scenario(name="retained", task=Walk(limit=22), retention=Retention(keep_last=2))
_ROLLED = Scenario(
    name="rolled",
    task=Walk(limit=68),
    faults=frozenset({Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST_REPLY, Fault.EXISTS}),
    prepare=lambda: _cut(Walk(limit=68), 1, record_key(_ROLL_AT)),
)

SCENARIOS = (
    _PLAIN,
    Scenario(name="each step", task=_TEN),
    Scenario(name="at the end", task=_TEN, interval=100),
    _EXTENDED,
    Scenario(name="extended anew", task=Walk(limit=20), prepare=lambda: _cut(_TEN, 4, record_key(4))),
    _RETAINED,
    Scenario(
        name="retained anew",
        task=Walk(limit=12, salt="another"),
        interval=2,
        retention=Retention(keep_last=2),
        prepare=lambda: _finished(_TEN, 1),
    ),
    _ROLLED,
    Scenario(name="summed", task=Walk(limit=24, salt="another"), prepare=lambda: _finished(Walk(limit=24), 4)),
    Scenario(name="stepped back", task=Walk(limit=14), interval=2, prepare=lambda: _damaged(_TEN, 3)),
    Scenario(
        name="taken over",
        task=_TEN,
        interval=2,
        take_over=True,
        prepare=lambda: _cut(_TEN, 2, record_key(3)),
    ),
    *(
        replace(each, name=f"{each.name}, torn", tears=True, faults=CRASHES | {Fault.LOST_REPLY, Fault.EXISTS})
        for each in (_PLAIN, _EXTENDED, _RETAINED, _ROLLED)
    ),
)
"""All of them; names are unique."""
