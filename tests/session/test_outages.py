"""The store goes away for minutes, in every phase and at every kind of call: training goes on, and nothing is lost."""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from benchmarks.outage import LEAST_STEPS, measure, num_steps, undisturbed
from mlsession.errors import Interrupted, StoreUnavailable
from mlsession.events import CheckpointCommitted, CheckpointsRemoved, RemovalFailed, StoreRetried
from mlsession.session.phase import Array, Past, PhaseRunner, PhaseState, Step
from mlsession.session.policy import EveryIterations, EverySeconds
from mlsession.session.retention import Retention
from mlsession.session.stop import StopKind
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.store.retrying import Backoff
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import Call, Fault, FaultyStore, Operation, Process
from mlsession.testing.walk import Walk
from tests.servers.s3 import S3Server
from tests.session.attempts import Attempt, WalkResult, attempt_on, facts_of, unbroken

pytestmark = pytest.mark.sampled(0.6)

MINUTES = 60.0
LIMIT = 90
"""Steps of the first phase; each takes a second."""
GUARD_SECONDS = 60.0
EXPECTED = unbroken(Walk(limit=LIMIT))


@dataclass
class Training:
    """A `Walk` on a clock that its steps and the retries move, and what it held in memory on the way."""

    held_bytes: int = 2**20
    waits_every: int = LIMIT
    """Iterations after which a due save waits for the one before."""
    clock: FakeClock = field(init=False)
    phase: str = "opening"
    turns: int = 0
    saves: int = 0
    """Checkpoints that are in the store."""
    permits: int = 0
    """Steps to be made before the next retry."""
    alternates: bool = False
    """Whether the training may make only one step between two retries of an outage, so that it cannot run ahead."""
    down: tuple[float, float] | None = None
    """Since when the store has not answered, and until when."""
    is_waiting: bool = False
    """Whether the phase can do nothing more before the store is back."""
    most_snapshots: int = 0
    most_row_bytes: int = 0
    moved: threading.Condition = field(default_factory=threading.Condition)
    snapshots: list[list[weakref.ref[Array]]] = field(default_factory=list)
    rows: list[weakref.ref[Array]] = field(default_factory=list)
    steps_between_retries: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = FakeClock(on_sleep=self.go_on_meanwhile)
        self.main = threading.current_thread()

    def go_on_meanwhile(self, seconds: float) -> None:
        """Between two tries of the saver's thread the training makes a step, unless it really has to wait."""
        if threading.current_thread() is self.main:
            return
        with self.moved:
            before = self.turns
            self.permits += 1
            self.moved.notify_all()
            assert self.moved.wait_for(lambda: self.turns > before or self.is_waiting, GUARD_SECONDS), "it stands still"
            self.steps_between_retries.append(self.turns - before)
            self.look()

    def stepped(self) -> None:
        self.clock.advance(1.0)
        with self.moved:
            assert self.moved.wait_for(self.may_step, GUARD_SECONDS), "nothing is saved, or tried again"
            self.permits -= self.is_down() and self.permits > 0
            self.turns += 1
            self.look()
            self.moved.notify_all()

    def is_down(self) -> bool:
        return self.down is not None and self.clock.monotonic() < self.down[1]

    def may_step(self) -> bool:
        """Until something goes wrong the store keeps pace, so that there is something to lose and to remove."""
        if self.down is None:
            return self.saves == len(self.snapshots)
        return self.permits > 0 or not (self.alternates and self.is_down())

    def look(self) -> None:
        alive = sum(any(ref() is not None for ref in snapshot) for snapshot in self.snapshots)
        self.most_snapshots = max(self.most_snapshots, alive)
        held = sum(array.nbytes for ref in self.rows if (array := ref()) is not None)
        self.most_row_bytes = max(self.most_row_bytes, held)

    def wait(self, waiting: bool) -> None:
        with self.moved:
            self.is_waiting = waiting
            self.moved.notify_all()

    @property
    def task(self) -> WatchedWalk:
        return WatchedWalk(Walk(limit=LIMIT), self)


@dataclass(frozen=True)
class WatchedWalk:
    """A `Walk` whose snapshots and rows a `Training` watches."""

    walk: Walk
    training: Training
    name = Walk.name
    phases = Walk.phases

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        self.training.phase = phase
        return WatchedRunner(self.walk.runner(phase, past), self.training)

    def inputs(self, phase: str) -> str:
        return self.walk.inputs(phase)

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return self.walk.is_complete(phase, state)

    def result(self, past: Past) -> WalkResult:
        self.training.phase = "closing"
        return self.walk.result(past)


class WatchedRunner:
    """Passes on the steps of another runner."""

    def __init__(self, runner: PhaseRunner, training: Training) -> None:
        self._runner = runner
        self._training = training
        self._held = 0

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        for step in self._runner.run(state):
            self._training.stepped()
            self._training.rows += [weakref.ref(array) for array in step.adds.values()]
            self._held += sum(array.nbytes for array in step.adds.values())
            is_full = self._held > self._training.held_bytes
            self._training.wait(step.last or is_full or step.iteration % self._training.waits_every == 0)
            yield replace(step, snapshot=partial(self._snapshot, step.snapshot, step.last))
            del step
        self._training.wait(False)

    def _snapshot(self, make: Callable[[], PhaseState], last: bool) -> PhaseState:
        self._held = 0
        self._training.wait(last)
        state = make()
        self._training.snapshots.append([weakref.ref(array) for array in state.arrays.values()])
        return state


class WatchedStore(FaultyStore):
    """A faulty store that tells a `Training` of each checkpoint that it has taken."""

    def __init__(self, space: MemorySpace, process: Process, training: Training) -> None:
        super().__init__(MemoryStore(space), process)
        self._training = training

    def put_if_absent(self, key: str, data: bytes) -> None:
        super().put_if_absent(key, data)
        if b'"kind":"checkpoint"' in data:
            with self._training.moved:
                self._training.saves += 1
                self._training.moved.notify_all()


class Outage:
    """A plan: from the first call of one kind in one phase on nothing answers, for some seconds."""

    def __init__(self, training: Training, phase: str, operation: Operation, seconds: float) -> None:
        self._training = training
        self._start = (phase, operation)
        self._seconds = seconds

    def __call__(self, call: Call) -> Fault | None:
        training, now = self._training, self._training.clock.monotonic()
        with training.moved:
            # After the first commits: what there is then must not be lost.
            is_early = training.phase == "walking" and training.saves < 4
            if training.down is None and (training.phase, call.operation) == self._start and not is_early:
                training.down = (now, now + self._seconds)
                training.moved.notify_all()
            return Fault.UNAVAILABLE if training.is_down() else None


def attempt(training: Training, space: MemorySpace, plan: Callable[[Call], Fault | None], **options: object) -> Attempt:
    """An attempt of a process that the plan befalls; it saves every other second."""
    process = Process(plan, clock=training.clock)
    settings: dict[str, object] = {
        "policy": EverySeconds(seconds=2.0),
        "retention": Retention(keep_last=2),
        "backoff": Backoff(give_up_after=15 * MINUTES),
        "beat_seconds": 60.0,
        **options,
    }
    handles = itertools.count()

    def open_store() -> Store:
        """The first handle only makes the session; jobs do that patiently, too, but an `Attempt` does not."""
        return WatchedStore(space, process, training) if next(handles) else MemoryStore(space)

    return Attempt(
        open_store=open_store,
        clock=training.clock,
        held_bytes=training.held_bytes,
        **settings,  # type: ignore[arg-type]
    )


CALLS = [
    *(("opening", operation) for operation in (Operation.LIST, Operation.GET_RANGE, Operation.CREATE)),
    *(("walking", operation) for operation in (Operation.PUT, Operation.GET_RANGE, Operation.CREATE, Operation.DELETE)),
    *(("summing", operation) for operation in (Operation.GET_RANGE, Operation.PUT, Operation.CREATE)),
    *(("closing", operation) for operation in (Operation.GET_RANGE, Operation.CREATE, Operation.DELETE)),
]


@pytest.mark.parametrize(("phase", "operation"), CALLS)
class TestEveryCall:
    def test_an_outage_is_waited_out_while_training_goes_on(self, phase: str, operation: Operation) -> None:
        training, space = Training(alternates=True), MemorySpace()
        job = attempt(training, space, Outage(training, phase, operation, 10 * MINUTES))
        assert job.run(training.task, training.task.walk.parameters) == EXPECTED
        assert training.down is not None, f"no {operation} in {phase}"
        assert training.clock.monotonic() >= training.down[1]
        retries = job.of(StoreRetried)
        assert len({event.delay for event in retries}) == len(retries) >= 10
        assert all("503" in event.reason for event in retries)
        assert max(event.delay for event in retries) <= 60.0
        assert training.most_snapshots == 1
        if phase == "walking":
            # It went on to the end of its phase, and only there had to wait.
            assert sum(training.steps_between_retries) >= 5
            assert training.steps_between_retries[0] == 1
            assert training.turns >= LIMIT
        assert facts_of(space).records[-1].body["outcome"] == "finished"
        assert job.of(CheckpointsRemoved) or phase != "walking"  # Later ones may come too late for it.
        assert not job.of(RemovalFailed)

    def test_one_without_end_is_an_error_and_loses_nothing(self, phase: str, operation: Operation) -> None:
        training, space = Training(), MemorySpace()
        outage = Outage(training, phase, operation, math.inf)
        job = attempt(training, space, outage, backoff=Backoff(give_up_after=3 * MINUTES))
        with pytest.raises(StoreUnavailable, match=r"has not answered for \d+ s .*; the session can be resumed when"):
            job.run(training.task, training.task.walk.parameters)
        assert training.down is not None, f"no {operation} in {phase}"
        assert training.most_snapshots <= 1
        if phase == "opening":
            committed = set[int]()
        else:
            committed = {event.checkpoint for event in job.of(CheckpointCommitted)}
            committed -= {number for event in job.of(CheckpointsRemoved) for number in event.checkpoints}
            assert committed <= {entry.number for entry in facts_of(space).checkpoints}
            assert len(committed) >= 2
        steps: list[int] = []
        assert attempt_on(space).walk(Walk(limit=LIMIT, on_step=steps.append)) == EXPECTED
        reached = max((e.iteration for e in job.of(CheckpointCommitted) if e.phase == "walking"), default=0)
        assert min(steps, default=LIMIT + 1) == reached + 1


WAITS = [
    *(("opening", operation) for operation in (Operation.LIST, Operation.GET_RANGE, Operation.CREATE)),
    ("summing", Operation.GET_RANGE),
    *(("closing", operation) for operation in (Operation.GET_RANGE, Operation.CREATE)),
]
"""Where the job's own thread waits: for what it reads or opens, or for the last record."""


@pytest.mark.parametrize(("phase", "operation"), WAITS)
def test_a_stop_ends_the_waiting_and_loses_nothing(phase: str, operation: Operation) -> None:
    training, space, asked, ended = Training(), MemorySpace(), list[bool](), threading.Event()
    job = attempt(training, space, Outage(training, phase, operation, math.inf), grace_seconds=0.05)

    def ask(seconds: float) -> None:
        if training.is_down():
            asked.append(threading.current_thread() is training.main)
            job.stop.ask(StopKind.INTERRUPTED, "signal SIGTERM", training.clock.monotonic())
        if training.is_down() and not asked[-1]:
            ended.wait(GUARD_SECONDS)  # The saver's thread, which nobody waits for any more.
        training.go_on_meanwhile(seconds)

    training.clock = job.clock = FakeClock(on_sleep=ask)
    with pytest.raises(Interrupted, match="signal SIGTERM"):
        job.run(training.task, training.task.walk.parameters)
    ended.set()
    # In the job's own thread nothing sleeps any more, once it is asked.
    assert asked.count(True) == ((phase, operation) != ("closing", Operation.CREATE))
    committed = {event.checkpoint for event in job.of(CheckpointCommitted)}
    committed -= {number for event in job.of(CheckpointsRemoved) for number in event.checkpoints}
    if phase == "opening":
        assert not committed
    else:
        assert committed <= {entry.number for entry in facts_of(space).checkpoints}
    steps: list[int] = []
    assert attempt_on(space).walk(Walk(limit=LIMIT, on_step=steps.append)) == EXPECTED
    assert bool(steps) == (phase == "opening"), "all that was walked is committed"


def test_what_is_held_in_memory_is_bounded() -> None:
    """Rows that cannot be committed fill the buffer; then the phase waits."""
    training, space = Training(held_bytes=200), MemorySpace()
    outage = Outage(training, "walking", Operation.PUT, 10 * MINUTES)
    job = attempt(training, space, outage)
    assert job.run(training.task, training.task.walk.parameters) == EXPECTED
    assert training.most_snapshots == 1
    most_of_a_step = 3 * (4 * 4 + 2)
    assert 200 < training.most_row_bytes <= 2 * (200 + most_of_a_step)
    assert 0 in training.steps_between_retries


def test_a_save_that_waits_for_the_one_before_holds_no_snapshot_yet() -> None:
    training, space = Training(waits_every=4), MemorySpace()
    outage = Outage(training, "walking", Operation.PUT, 10 * MINUTES)
    job = attempt(training, space, outage, policy=EveryIterations(iterations=4))
    assert job.run(training.task, training.task.walk.parameters) == EXPECTED
    assert training.most_snapshots == 1
    # Whether the steps up to the next multiple fall between two retries or before the first is up to the threads.
    assert sum(training.steps_between_retries) <= 4


def test_a_store_that_takes_a_minute_for_each_write_does_not_stop_training() -> None:
    training, space = Training(), MemorySpace()
    writes = {Operation.PUT, Operation.CREATE}

    training.down = (0.0, 0.0)  # Nobody waits for saves.

    def slow(call: Call) -> Fault | None:
        return Fault.DELAY if training.phase == "walking" and call.operation in writes else None

    process = Process(slow, clock=training.clock, delay_seconds=MINUTES)
    job = replace(attempt(training, space, slow), open_store=lambda: WatchedStore(space, process, training))
    assert job.run(training.task, training.task.walk.parameters) == EXPECTED
    assert training.most_snapshots == 1
    assert not job.of(StoreRetried)


@pytest.mark.parametrize("kind", ["refused", "frozen"])
def test_a_real_server_that_goes_away(kind: str, s3_server: S3Server) -> None:
    """The benchmark, shortly; it tells no lies about time."""
    found = measure(kind, 1.0, s3_server, spare_steps=100, ballast_bytes=2**16)
    assert found.result == undisturbed(num_steps(1.0, 100))
    assert found.steps_meanwhile >= LEAST_STEPS
    assert found.error == ""
