"""Steps from the thread that trains to the thread that keeps the session: a phase whose work is done elsewhere.

    training thread                         session's thread
    offer(turn) ------------------------->  yields it as a step
    saves when asked     <- SNAPSHOT -----  the policy says that a save is due
    goes on training     <- NEXT ---------  the next step is asked for
    learns how it ended  <- CLOSED -------  stopped, taken over, failed, finished

The training thread waits from `offer` to NEXT or CLOSED, so that what is saved stands still meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
from queue import SimpleQueue

from mlsession.session.phase import Past, Phase, PhaseRunner, PhaseState, Step

TASK = "lightning"


class Answer(Enum):
    """What the session's thread wants of the training thread."""

    SNAPSHOT = "snapshot"
    NEXT = "next"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One finished step of the training."""

    number: int
    """Turns so far, over all attempts; the first has 1."""
    total: int | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    last: bool = False


class Handover:
    """The phase runner of a training that runs in another thread."""

    def __init__(self) -> None:
        self._turns: SimpleQueue[Turn | BaseException] = SimpleQueue()
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._saved: SimpleQueue[PhaseState | BaseException] = SimpleQueue()
        self.begun: Future[tuple[PhaseState | None] | None] = Future()
        """What the phase begins with, once it does: a state, or (None,) the first time; None if it never begins."""

    # The training thread

    def offer(self, turn: Turn) -> Iterator[Answer]:
        """Hands a step over, and gives what is wanted: `SNAPSHOT`s, to be followed by `save`, then one other."""
        self._turns.put(turn)
        while True:
            answer = self._answers.get()
            yield answer
            if answer is not Answer.SNAPSHOT:
                return

    def save(self, state: PhaseState | BaseException) -> None:
        """The answer to `SNAPSHOT`: the state after the step that was offered, or why there is none."""
        self._saved.put(state)

    def give_up(self, error: BaseException) -> None:
        """The training has ended without its last step; nothing may be offered any more."""
        self._turns.put(error)

    # The session's thread

    def close(self) -> None:
        """No step will be taken any more."""
        if not self.begun.done():
            self.begun.set_result(None)
        self._answers.put(Answer.CLOSED)

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        if not self.begun.done():
            self.begun.set_result((state,))
        while True:
            turn = self._turns.get()
            if isinstance(turn, BaseException):
                raise turn
            yield Step(
                iteration=turn.number,
                total=turn.total,
                metrics=turn.metrics,
                snapshot=self._snapshot,
                last=turn.last,
            )
            self._answers.put(Answer.NEXT)

    def _snapshot(self) -> PhaseState:
        self._answers.put(Answer.SNAPSHOT)
        saved = self._saved.get()
        if isinstance(saved, BaseException):
            raise saved
        return saved


@dataclass(frozen=True, kw_only=True, eq=False)
class HandedOver:
    """The task of a session whose training runs in another thread; its result is the last state."""

    handover: Handover
    is_ended: Callable[[PhaseState], bool]
    """Whether a last state is that of the training that is asked for now."""

    @property
    def name(self) -> str:
        return TASK

    @property
    def phases(self) -> tuple[str, ...]:
        return (Phase.TRAINING,)

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return self.handover

    def inputs(self, phase: str) -> str:
        return ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return self.is_ended(state)

    def result(self, past: Past) -> PhaseState:
        return past.state(Phase.TRAINING)
