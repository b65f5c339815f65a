"""Running one attempt on a session in the calling thread, with every event kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from mlsession.clock import Clock, SystemClock
from mlsession.events import Event
from mlsession.session.attempt import Surroundings, advance_session
from mlsession.session.drive import DriveOptions
from mlsession.session.identity import Identity, check_compatible
from mlsession.session.opening import OpenOptions, create_session, find_session
from mlsession.session.phase import Json, Task
from mlsession.session.policy import EveryIterations, SavePolicy
from mlsession.session.retention import Retention
from mlsession.session.stop import StopFlag
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.store.retrying import Backoff
from mlsession.testing.invariants import Facts, check_session
from mlsession.testing.walk import Walk

T = TypeVar("T")
WalkResult = tuple[int, bytes, str, str]


@dataclass(kw_only=True)
class Attempt:
    """How to run an attempt, and what it emitted."""

    open_store: Callable[[], Store]
    policy: SavePolicy = field(default_factory=lambda: EveryIterations(iterations=3))
    report_interval: int = 5
    grace_seconds: float = 25.0
    held_bytes: int = 2**20
    stale_after: float = 0.0
    take_over: bool = False
    retention: Retention = field(default_factory=Retention)
    beat_seconds: float = 0.01
    clock: Clock = field(default_factory=SystemClock)
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.001, longest=0.001, give_up_after=1.0))
    stop: StopFlag = field(default_factory=StopFlag)
    events: list[Event] = field(default_factory=list)

    def run(self, task: Task[T], parameters: Mapping[str, Json]) -> T:
        """Creates the session if there is none, and takes it to its result."""
        store = self.open_store()
        try:
            identity = Identity(task=task.name, phases=task.phases, parameters=parameters)
            state = find_session(store) or create_session(store, self.clock, identity, {}, self.events.append)
            check_compatible(Identity.from_record(state.timeline.opened).parameters, parameters, "go back")
        finally:
            store.close()
        around = Surroundings(
            open_store=self.open_store,
            clock=self.clock,
            backoff=self.backoff,
            emit=self.events.append,
            stop=self.stop,
            beat_seconds=self.beat_seconds,
        )
        opening = OpenOptions(stale_after=self.stale_after, take_over=self.take_over)
        drive = DriveOptions(
            policy=self.policy,
            report_interval=self.report_interval,
            grace_seconds=self.grace_seconds,
            held_bytes=self.held_bytes,
            retention=self.retention,
        )
        return advance_session(task, around, opening, drive)

    def walk(self, task: Walk) -> WalkResult:
        """The same for a `Walk`."""
        return self.run(task, task.parameters)

    def of(self, kind: type[T]) -> list[T]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]


def attempt_on(space: MemorySpace, interval: int = 3) -> Attempt:
    """An attempt on a session in memory that saves every `interval` iterations."""
    return Attempt(open_store=lambda: MemoryStore(space), policy=EveryIterations(iterations=interval))


def unbroken(task: Walk) -> WalkResult:
    """What a run that nothing disturbs gives."""
    return attempt_on(MemorySpace()).walk(task)


def facts_of(space: MemorySpace) -> Facts:
    """What the log says, its invariants checked."""
    facts = check_session(MemoryStore(space))
    assert facts is not None
    return facts


def outcome_of(space: MemorySpace) -> tuple[object, object]:
    """Outcome and reason of the newest record."""
    body = facts_of(space).records[-1].body
    return body.get("outcome"), body.get("reason")
