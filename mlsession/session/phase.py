"""What a task is made of: phases that yield steps, and know nothing of stores, threads or signals.

    task = an ordered list of phases
    phase = a generator of steps
    step = one bounded turn of work (about two seconds at most), after which the phase can be saved

The session asks a phase for its next step, then decides (see `policy`) whether to report, save or stop.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from mlsession.session.log.records import BlobRef
    from mlsession.store.protocol import Store

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Arrays: TypeAlias = Mapping[str, Array]
WriteShards: TypeAlias = "Callable[[Store, int, int], Sequence[BlobRef]]"
"""Has each process that shares a state write its part into the session, the caller its own by the store that it is
given, for an opening and a record; returns them by rank. Called once, in the thread that writes checkpoints. May raise
what writing does, `WorkerLost`, and what other processes have failed with."""

HISTORY_PREFIX = "history."
"""Arrays of a training state with this prefix hold one value for each iteration: `TrainingSession.history`."""

Result_co = TypeVar("Result_co", covariant=True)


class Phase(StrEnum):
    """The phases of image classification; the engine takes any lower-case word."""

    INITIALIZED = "initialized"
    CHOOSING = "choosing"
    EXTRACTING = "extracting"
    SELECTING = "selecting"
    TRAINING = "training"
    FINETUNING = "finetuning"
    EVALUATING = "evaluating"
    INFERENCING = "inferencing"


@dataclass(frozen=True, slots=True)
class PhaseState:
    """All that a phase must remember to go on as if it had never stopped."""

    arrays: Arrays = field(default_factory=dict)
    """Numpy arrays by name; kept exactly."""
    data: Mapping[str, Json] = field(default_factory=dict)
    """Plain values; floats are kept exactly, non-finite ones too."""
    shards: Sequence[Callable[[], Arrays]] = ()
    """Of a saved state that several processes shared: each reads the part of one of them, and may raise
    `DamagedData`. No state need be in one place as a whole."""
    write_shards: WriteShards | None = None
    """Of a state to be saved that several processes share: what is here is rank 0's, and this saves all parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person should know about one item, such as an image that was skipped."""

    item: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One finished turn of a phase."""

    iteration: int
    """Turns done in this phase since it began, over all attempts; the first step has 1."""
    total: int | None
    """How many turns there will be at most, if known."""
    snapshot: Callable[[], PhaseState]
    """Gives the state after this step, in memory of its own; valid only until the next step is asked for."""
    item_count: int | None = None
    """Items done in this phase (images where images are processed); None means `iteration`."""
    total_items: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    adds: Arrays = field(default_factory=dict)
    """New rows of the phase's additive output, each array [rows, ...], in memory that nobody changes afterwards.

    They are joined in order along the first axis; the names and types are the same in every step that has any.
    """
    notices: tuple[Notice, ...] = ()
    last: bool = False
    """True for the step that ends the phase; every phase has exactly one, even if there is nothing to do."""
    urgent: bool = False
    """Whether to save now, whatever the policy says: what this turn has found out must not have to be found again."""


class PhaseRunner(Protocol):
    """The work of one phase.

        for step in runner.run(state): session reports, saves or stops

    A run from `state` yields bit for bit the steps that an unbroken run yields after the step `state` was taken at.
    """

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        """Steps from the beginning (None) or from a saved state."""
        ...


class Past(Protocol):
    """What earlier phases left behind, read back from the store."""

    def state(self, phase: str) -> PhaseState:
        """The newest committed state of a phase."""
        ...

    def newest_commit(self, phase: str) -> int:
        """The number of the checkpoint that holds that state."""
        ...

    def rows(self, phase: str, block: int = 4096, names: Collection[str] | None = None) -> Iterator[Arrays]:
        """The additive output of a phase, in order, in blocks of exactly `block` rows (the last may be shorter).

        Blocks do not depend on where saves fell, so no reduction over them does. With `names` only these arrays are
        given and kept in memory; everything is read and checked all the same. Raises `DamagedData`.
        """
        ...


class Task(Protocol[Result_co]):
    """An ordered list of phases, and what identifies them."""

    @property
    def name(self) -> str:
        """What kind of task this is; a session of another kind is refused."""
        ...

    @property
    def phases(self) -> tuple[str, ...]:
        """The phases in order."""
        ...

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        """The work of one phase; `past` holds what the phases before it have left."""
        ...

    def inputs(self, phase: str) -> str:
        """A digest of what may change freely between attempts and makes this phase start over ("" = nothing)."""
        ...

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        """Whether a phase that ended in `state` has nothing more to do (a raised limit may ask for more)."""
        ...

    def result(self, past: Past) -> Result_co:
        """What the finished task gives."""
        ...
