"""A session against a reference model, by random sequences of what writers, people, crashes and stores do to it.

The machine drives writers by hand, below the level of attempts, so that it decides the order of every step. After each
rule the log must say exactly what the model says; what cannot be known is only whether a call that was cut short had
its effect or not. In the end an attempt without faults must come to the result of an unbroken run.

More of it: MLSESSION_MODEL_EXAMPLES=2000 pytest --hypothesis-seed=1 tests/session/test_model.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlsession.errors import DamagedData, SessionInUse, SessionTakenOver, StoreDenied, StoreError, StoreFull
from mlsession.events import Event
from mlsession.session.identity import Identity
from mlsession.session.log.blobs import encode_arrays, encode_state
from mlsession.session.log.canonical import sha256
from mlsession.session.log.journal import LogState
from mlsession.session.log.layout import heartbeat_key, record_key, record_number
from mlsession.session.log.records import Kind, Outcome, Record
from mlsession.session.log.timeline import entry_of, removed_by
from mlsession.session.opening import OpenOptions, create_session, find_session, open_session
from mlsession.session.past import StoredPast
from mlsession.session.phase import Arrays
from mlsession.session.retention import Retention
from mlsession.session.standing import stand
from mlsession.session.upkeep.deletion import delete_session
from mlsession.session.upkeep.removal import Remover
from mlsession.session.upkeep.retainer import Retainer
from mlsession.session.writer import SessionWriter, Stage
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.faults import CRASHES, Call, Fault, FaultyStore, Operation, Process, ProcessDied
from mlsession.testing.invariants import Facts, check_session
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on, unbroken
from tests.session.log.test_journal import stage
from tests.session.reference_model import PHASES, Commit, Fact, ReferenceSession

EXAMPLES = os.environ.get("MLSESSION_MODEL_EXAMPLES")
"""How many sequences; by default few, and the same ones in every run."""
STEPS = 30
MOST_ITERATIONS = 30

REFUSALS = (Fault.DENIED, Fault.NO_SPACE)
PASSING = (Fault.LOST_REPLY, Fault.EXISTS, Fault.CONFLICT, Fault.UNAVAILABLE, Fault.TIMED_OUT, Fault.EXPIRED)
faults = st.one_of(st.sampled_from(sorted(CRASHES)), st.sampled_from(PASSING), st.sampled_from(REFUSALS))
troubles = st.one_of(
    st.just(dict[int, Fault]()),
    st.sampled_from(({1: Fault.STALE_LISTING}, {1: Fault.EXISTS})),
    st.dictionaries(st.integers(1, 9), faults, min_size=1, max_size=2),
)
"""Faults by the number of the call, counted from the beginning of a rule.

Few calls can meet these two, so all of a rule do, or none: a listing that lags behind, and a spurious 412.
"""


places = st.sampled_from((0, 0, 0, 1, 2))
"""Which process: 0 is the newest, and so the one that may write; the others were fenced out."""


@dataclass(eq=False)
class Hand:
    """One process at work on the session."""

    space: MemorySpace
    clock: FakeClock
    planned: dict[int, Fault] = field(default_factory=dict)
    writer: SessionWriter | None = None
    remover: Remover | None = None
    pending: frozenset[int] = frozenset()
    """Checkpoints that its next removal takes off the list."""
    id: str = ""

    def __post_init__(self) -> None:
        self.process = Process(self.plan)

    def plan(self, call: Call) -> Fault | None:
        everywhere = {Operation.LIST: Fault.STALE_LISTING, Operation.CREATE: Fault.EXISTS}.get(call.operation)
        return everywhere if everywhere in self.planned.values() else self.planned.get(call.number)

    def store(self) -> Store:
        """A handle as attempts use it: it tries again what is worth it."""
        faulty = FaultyStore(MemoryStore(self.space), self.process)
        return RetryingStore(faulty, self.clock, Backoff(), lambda *said: None)

    def meet(self, troubles: dict[int, Fault]) -> None:
        """What befalls the coming calls."""
        made = len(self.process.calls)
        self.planned = {made + number: fault for number, fault in troubles.items()}


def next_stage(hand: Hand, task: Walk, steps: int) -> Stage | None:
    """What a driver would save after up to `steps` more steps; None if there is nothing left to do."""
    assert hand.writer is not None
    timeline = hand.writer.timeline
    past = StoredPast(hand.store(), timeline)
    standing = stand(
        task.phases, timeline.newest, task.inputs, lambda entry: task.is_complete(entry.phase, past.state(entry.phase))
    )
    if standing.phase is None:
        return None
    state = past.state(standing.phase) if standing.entry else None
    adds: list[Arrays] = []
    for count, step in enumerate(task.runner(standing.phase, past).run(state), start=1):
        adds += [step.adds] if step.adds else []
        if count == steps or step.last:
            return Stage(
                phase=standing.phase,
                iteration=step.iteration,
                item_count=step.iteration,
                metrics={"total": float(step.iteration)},
                state=step.snapshot(),
                adds=tuple(adds),
                fresh=standing.entry is None,
                ended=step.last,
                inputs=task.inputs(standing.phase),
            )
    raise AssertionError("a phase ended without a last step")


def commit_of(stage: Stage) -> Commit:
    """What the model is told of a stage: everything but where it lies."""
    rows = {name: np.concatenate([arrays[name] for arrays in stage.adds]) for name in (*stage.adds, {})[0]}
    blobs = [encode_state(stage.state), *([encode_arrays(rows)] if rows else [])]
    return Commit(
        phase=stage.phase,
        iteration=stage.iteration,
        fresh=stage.fresh,
        ended=stage.ended,
        content=tuple(sha256(blob) for blob in blobs),
    )


class SessionMachine(RuleBasedStateMachine):
    """Everything that may happen to a session, and what the model says it must be afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.space = MemorySpace()
        self.beating: Hand | None = None
        """Whose heartbeat moves while others wait."""
        self.clock = FakeClock(on_sleep=self.beat)
        self.model = ReferenceSession()
        self.hands: list[Hand] = []
        self.ghosts: list[Hand] = []
        """Processes that were stopped for a while, and whose session was deleted meanwhile."""
        self.seen: LogState | None = None
        self.limit = 6
        self.is_deleting = False
        self.checked: object = None
        """What the store held when it was last looked at."""

    # What moves by itself.

    def beat(self, seconds: float) -> None:
        hand = self.beating
        if hand is not None and hand.writer is not None and not hand.process.is_dead:
            key = heartbeat_key(hand.writer.opening)
            MemoryStore(self.space).put(key, str(self.clock.monotonic()).encode())

    def owner(self) -> Hand | None:
        """The living process that may write, if there is one."""
        return next((hand for hand in self.hands if self.model.facts and hand.id == self.model.owner), None)

    def writing(self, hand: Hand) -> SessionWriter:
        assert hand.writer is not None
        return hand.writer

    def settle(self) -> None:
        """A session that can be worked on: a deletion that was cut short is finished, and a new session is made."""
        if self.is_deleting:
            self.delete({})
        if not self.model.facts:
            self.make({})

    def pick(self, index: int) -> Hand:
        """A process that has opened the session, the newest first; of those that are missing new ones."""
        self.settle()
        while len(self.hands) <= index:
            self.open({}, take_over=True, beats=False, stale_look=False)
        return self.hands[-1 - index]

    def grow(self, hand: Hand) -> None:
        """Some checkpoints, so that there is something to lose."""
        while hand in self.hands and hand.id == self.model.owner and len(self.model.live()) < 5:
            self.commit(hand, 1, {})

    @contextmanager
    def at_work(self, hand: Hand, troubles: dict[int, Fault], expected: Callable[[], Sequence[Fact]]) -> Iterator[None]:
        """A rule's work by one process: what it may add to the log is `expected`, as known when it is done.

        All of it where the work gets through, a beginning of it where a fault ends the process; nothing, and an error,
        where the process was fenced out before.
        """
        may_write = not self.model.facts or hand.id in ("", self.model.owner)
        hand.meet(troubles)
        ended: BaseException | None = None
        try:
            yield
        except (ProcessDied, StoreDenied, StoreFull) as error:
            ended = error
        except SessionTakenOver as error:
            assert not may_write, "its writer was not fenced out"
            event("a fenced writer was told")
            ended = error
        finally:
            hand.planned = {}
        facts = list(expected())
        added = self.added(hand, facts)
        if added:
            assert may_write, f"a fenced writer added {added}"
        if ended is None:
            assert may_write or not facts, "a fenced writer got through"
            assert added == facts, f"{facts} were to be added, not {added}"
        elif hand in self.hands:
            self.hands.remove(hand)

    def added(self, hand: Hand, expected: list[Fact]) -> list[Fact]:
        """Takes on what the log says more than the model, which must be a beginning of what was expected."""
        added: list[Fact] = []
        for record in self.new_records():
            assert len(added) < len(expected), f"nobody was to add {record}"
            fact = expected[len(added)]
            assert fact_of(record, fact.commit) == replace(fact, writer=record.writer)
            assert record.writer == (hand.id or record.writer)
            hand.id = record.writer
            self.model.facts.append(replace(fact, writer=record.writer))
            added.append(fact)
        return added

    def new_records(self) -> list[Record]:
        store = MemoryStore(self.space)
        numbers = sorted(n for entry in store.list("log") if (n := record_number(entry.key)) is not None)
        assert numbers == list(range(len(numbers)))
        return [Record.decode(store.get(record_key(number)), number) for number in numbers[len(self.model.facts) :]]

    def fact(self, kind: Kind, hand: Hand, ahead: int = 0, **content: object) -> Fact:
        """A fact that goes on from the newest one, or from the one that comes before it."""
        parent = self.model.end + ahead
        return Fact(kind=kind.value, writer=hand.id, parent=parent if parent >= 0 else None, **content)  # type: ignore[arg-type]

    # What people and processes do.

    @initialize(records=st.sampled_from((0, 0, 0, 0, 0, 0, 55)))
    def begin(self, records: int) -> None:
        """Nothing yet; or a session so long that its index is about to be rolled."""
        for _ in range(records):
            hand = self.pick(0)
            self.model.facts.append(self.fact(Kind.CLOSED, hand, outcome="paused"))
            self.writing(hand).close(Outcome.PAUSED, "")

    @rule(troubles=troubles)
    def make(self, troubles: dict[int, Fault]) -> None:
        """Somebody makes the session; who comes second finds what the first one made."""
        if self.is_deleting:
            return
        hand, task = Hand(self.space, self.clock), Walk()
        expected = [] if self.model.facts else [Fact(kind="created", writer="", parent=None)]
        with self.at_work(hand, troubles, lambda: expected):
            identity = Identity(task=task.name, phases=task.phases, parameters=task.parameters)
            state = create_session(hand.store(), self.clock, identity, {"index": b"the data"}, ignore)
            assert state.end == max(self.model.end, 0)

    @rule(troubles=troubles)
    def look(self, troubles: dict[int, Fault]) -> None:
        """A reader sees the newest fact, whatever a listing says."""
        self.settle()
        hand = Hand(self.space, self.clock)
        with self.at_work(hand, troubles, list):
            state = find_session(hand.store())
            assert state is not None
            assert (state.end, state.timeline.tip.number) == (self.model.end, self.model.end)
            self.seen = state

    @rule(troubles=troubles, take_over=st.booleans(), beats=st.booleans(), stale_look=st.booleans())
    def open(self, troubles: dict[int, Fault], take_over: bool, beats: bool, stale_look: bool) -> None:
        self.settle()
        hand, before = Hand(self.space, self.clock), self.owner()
        self.beating = before if beats else None
        opened = self.fact(Kind.OPENED, hand)
        in_use = not (take_over or self.model.closed or before is None or not beats)
        with self.at_work(hand, troubles, lambda: [] if in_use else [opened]):
            try:
                known = self.seen if stale_look else None
                hand.writer, _ = open_session(hand.store(), self.clock, OpenOptions(take_over=take_over), ignore, known)
            except SessionInUse:
                assert in_use, "nobody is at work on it"
        self.beating = None
        if hand.writer is not None:
            self.hands = [*self.hands[-3:], hand]

    @rule(index=places, steps=st.integers(1, 2), commits=st.integers(1, 4), troubles=troubles)
    def advance(self, index: int, steps: int, commits: int, troubles: dict[int, Fault]) -> None:
        """The next checkpoints; at the end of the task, that it is finished."""
        hand = self.pick(index)
        for count in range(commits):
            if hand in self.hands:
                self.commit(hand, steps, {} if count else troubles)

    def commit(self, hand: Hand, steps: int, troubles: dict[int, Fault]) -> None:
        hand.meet({})
        try:
            stage = next_stage(hand, Walk(limit=self.limit), steps)
        except DamagedData:
            assert hand.id != self.model.owner, "its blobs are gone"
            self.hands.remove(hand)
            return
        if stage is None:
            fact = self.fact(Kind.CLOSED, hand, outcome="finished")
        else:
            fact = self.fact(Kind.CHECKPOINT, hand, commit=commit_of(stage))
        with self.at_work(hand, troubles, lambda: [fact]):
            if stage is None:
                self.writing(hand).close(Outcome.FINISHED, "")
                self.hands.remove(hand)
            else:
                self.writing(hand).commit(stage)

    @rule(index=places, back=st.integers(1, 4), troubles=troubles)
    def step_back(self, index: int, back: int, troubles: dict[int, Fault]) -> None:
        """A checkpoint is damaged: its writer goes back to before it, and opens the session anew from there."""
        hand = self.pick(index)
        assert hand.writer is not None
        numbers = list(self.model.commits(hand.writer.timeline.tip.number))
        if not numbers:
            return
        damaged = numbers[-min(back, len(numbers))]
        record = Record.decode(self.space.values[record_key(damaged)].data, damaged)
        key = entry_of(record, {}).state.key
        best = self.model.before(damaged)

        def opening() -> list[Fact]:
            """At the best place to go on from, or another one with the same checkpoints behind it."""
            parent = next((record.parent for record in self.new_records()), best)
            assert parent is not None
            assert self.model.commits(parent) == self.model.commits(best)
            return [replace(self.fact(Kind.OPENED, hand), parent=parent)]

        blob = self.space.values.pop(key, None)
        with self.at_work(hand, troubles, opening):
            self.writing(hand).step_back(damaged)
            hand.remover, hand.pending = None, frozenset()
        if blob is not None and damaged in self.model.live():
            self.space.values[key] = blob  # It was not to be: the damage never happened.

    @rule(index=places, spared=st.sets(st.integers(0, 20), max_size=4), steps=st.integers(1, 12), troubles=troubles)
    def remove(self, index: int, spared: set[int], steps: int, troubles: dict[int, Fault]) -> None:
        """Somebody removes checkpoints; the work may be left half-done, and be taken up later."""
        hand = self.pick(index)
        self.grow(hand)
        remover = hand.remover = hand.remover or Remover(hand.store(), self.writing(hand))
        planned: list[Fact] = []
        with self.at_work(hand, troubles, lambda: planned):
            if not remover.is_busy:
                live = remover.live()
                picked = [entry.number for place, entry in enumerate(live) if place not in spared]
                hand.pending = frozenset(entry.number for entry in remover.plan(live, picked))
            for _ in range(steps):
                if hand.pending and not remover.deletes_next:
                    planned.append(self.fact(Kind.REMOVED, hand, gone=hand.pending))
                    hand.pending = frozenset()
                remover.step()

    @rule(index=places, keep=st.integers(2, 3), troubles=troubles)
    def retain(self, index: int, keep: int, troubles: dict[int, Fault]) -> None:
        """The rule for checkpoints is kept to, as at the end of a session."""
        hand = self.pick(index)
        self.grow(hand)
        live = self.model.live()
        commits = self.model.commits()
        stay = {n for phase in PHASES for n in [n for n in live if commits[n].phase == phase][-keep:]}

        def removals() -> list[Fact]:
            return [self.fact(Kind.REMOVED, hand, gone=removed_by(record)) for record in self.new_records()][:1]

        # A writer has one who removes for it: what another one has planned is out of date now.
        hand.remover, hand.pending = None, frozenset()
        with self.at_work(hand, troubles, removals):
            retainer = Retainer(hand.store(), self.writing(hand), Retention(keep_last=keep), ignore)
            while retainer.step(finish=True):
                pass
        assert stay <= set(self.model.live())

    @rule(seldom=st.integers(0, 3), troubles=troubles)
    def delete_now(self, seldom: int, troubles: dict[int, Fault]) -> None:
        if seldom == 3 and self.model.facts:
            self.delete(troubles)

    def delete(self, troubles: dict[int, Fault]) -> None:
        """The session is deleted; cut short, it is deleted by the same call."""
        hand, before = Hand(self.space, self.clock), set(self.space.values)
        opened = self.fact(Kind.OPENED, hand)
        hand.meet(troubles)
        try:
            delete_session(hand.store(), self.clock, 20.0, ignore)
        except (ProcessDied, StoreDenied, StoreFull):
            hand.planned = {}
            self.is_deleting |= not before <= self.space.values.keys()
            if not self.is_deleting:
                self.added(hand, [opened])
            return
        # What a listing that lags behind did not show stays, as long as it is no record.
        left = [key for key in self.space.values if Fault.STALE_LISTING not in troubles.values() or key[:4] == "log/"]
        assert not left
        self.check_zombies()
        self.model, self.is_deleting, self.seen = ReferenceSession(), False, None

    def check_zombies(self) -> None:
        """Who still holds a session that is gone is told, and leaves no record in its place; all but one sleep on."""
        while self.hands:
            hand = self.hands.pop()
            if self.hands:
                self.ghosts = [*self.ghosts[-2:], hand]
                continue
            with pytest.raises((SessionTakenOver, StoreError)):
                self.writing(hand).close(Outcome.PAUSED, "")
        assert not [key for key in self.space.values if record_number(key) is not None]

    @rule(
        seldom=st.integers(0, 3),
        how=st.sampled_from(("commit", "close", "remove")),
        grown=st.booleans(),
        troubles=troubles,
    )
    def haunt(self, seldom: int, how: str, grown: bool, troubles: dict[int, Fault]) -> None:
        """A process wakes up in a session that was made in the place of its own, which is as long by now, or not."""
        if not self.ghosts and seldom == 3:
            self.pick(1)
            self.delete({})
        if not self.ghosts:
            return
        ghost = self.ghosts.pop()
        writer = self.writing(ghost)
        self.settle()
        while grown and self.model.end < writer.end:
            hand = self.pick(0)
            self.model.facts.append(self.fact(Kind.CLOSED, hand, outcome="paused"))
            self.writing(hand).close(Outcome.PAUSED, "")
        event("a process woke up in another session")
        ghost.meet(troubles)
        acts: dict[str, Callable[[], object]] = {
            "commit": lambda: writer.commit(stage(2)),
            "close": lambda: writer.close(Outcome.PAUSED, ""),
            "remove": lambda: writer.remove((), ()),
        }
        with pytest.raises((SessionTakenOver, StoreError, ProcessDied)):
            acts[how]()
        assert not self.new_records(), "it has written into the log of another session"

    @rule(index=places, outcome=st.sampled_from((None, *Outcome)), troubles=troubles)
    def leave(self, index: int, outcome: Outcome | None, troubles: dict[int, Fault]) -> None:
        """A process ends: it says how, or it is killed."""
        hand = self.pick(index)
        if outcome is None:
            with suppress(ProcessDied):
                hand.process.die()
            self.hands.remove(hand)
            return
        with self.at_work(hand, troubles, lambda: [self.fact(Kind.CLOSED, hand, outcome=outcome.value)]):
            self.writing(hand).close(outcome, "")
            self.hands.remove(hand)

    @precondition(lambda self: self.limit < MOST_ITERATIONS)
    @rule()
    def extend(self) -> None:
        self.limit += 3

    # What must hold.

    @invariant()
    def the_log_says_what_the_model_says(self) -> None:
        if self.is_deleting or self.space.values == self.checked:
            return
        facts = check_session(MemoryStore(self.space))
        self.checked = dict(self.space.values)
        assert (facts is None) == (not self.model.facts)
        if facts is None:
            return
        assert len(facts.records) == len(self.model.facts)
        assert [record.number for record in facts.timeline] == self.model.line()
        self.check_checkpoints(facts)

    def check_checkpoints(self, facts: Facts) -> None:
        """What a person sees is what was committed and not removed, to the byte."""
        assert [entry.number for entry in facts.checkpoints] == self.model.live()
        commits = self.model.commits()
        for entry in facts.checkpoints:
            content = (entry.state.sha256, *(ref.sha256 for ref in entry.adds))
            assert (
                Commit(
                    phase=entry.phase,
                    iteration=entry.iteration,
                    fresh=entry.fresh,
                    ended=entry.ended,
                    content=content,
                )
                == commits[entry.number]
            )
            assert set(self.model.resting(entry.number)) <= set(self.model.live()), "it rests on what is gone"
        assert facts.checkpoints or not commits, "no checkpoint is left"

    def teardown(self) -> None:
        """Whatever happened, the same command comes to the same result."""
        task = Walk(limit=self.limit)
        attempt = attempt_on(self.space)
        attempt.take_over = True
        assert attempt.walk(task) == unbroken(task)
        check_session(MemoryStore(self.space))


def fact_of(record: Record, commit: Commit | None) -> Fact:
    """What a record says, in the model's terms; `commit` is what its content must be, which is compared elsewhere."""
    return Fact(
        kind=record.kind.value,
        writer=record.writer,
        parent=record.parent,
        commit=commit if record.kind is Kind.CHECKPOINT else None,
        gone=removed_by(record) if record.kind is Kind.REMOVED else frozenset(),
        outcome=str(record.body.get("outcome", "")),
    )


def ignore(event: Event) -> None:
    return


TestSession = SessionMachine.TestCase
TestSession.settings = settings(
    max_examples=int(EXAMPLES or 40),
    derandomize=EXAMPLES is None,
    database=None,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
