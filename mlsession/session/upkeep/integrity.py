"""What is wrong with a session's stored bytes, and what mends it: values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlsession.errors import DamagedData
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.log.journal import Journal
from mlsession.session.log.pages import named_blobs
from mlsession.session.log.timeline import Timeline
from mlsession.store.protocol import Store


def to_pass_over(damage: DamagedData, timeline: Timeline, store: Store) -> DamagedData | None:
    """What to go back before where `damage` was met; for rows it also says what would have mended them alone.

    Going back makes all rows again that came after them, too. None if it is none of what going on needs.
    """
    journal = Journal(store)
    try:
        rows = {ref.key for phase in timeline.adds for ref in journal.additive(timeline, phase)}
    except DamagedData as page:
        return page  # Whatever else is damaged, this is: neither it nor the records say what there must be.
    if damage.key in rows:
        cure = f"`mlsession checkpoints repair {store.url}`, run before training on, mends such a file alone"
        return DamagedData(damage.key, f"{damage.reason}; {cure}")
    return damage if any(ref.key == damage.key for ref in named_blobs(timeline)) else None


class Cure(StrEnum):
    """What mends a damage. The first three are what a repair does."""

    REINDEX = "reindex"
    """The records say the same: a repair sums them up anew."""
    REMAKE = "remake"
    """A repair computes the same bytes again, from the checkpoint before and the data; if it cannot, the run that needs
    them goes back to before them."""
    REMOVE = "remove"
    """A checkpoint that nothing rests on: a repair takes it off the list."""
    GO_BACK = "go_back"
    """A record: whoever opens the session next, a repair too, goes on from before it."""
    NONE = "none"
    """Nothing here can make it again: an input of the session, to be restored from a copy; or a record that nothing
    going on rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Stored bytes that are not those that were written."""

    checkpoint: int | None
    """The number of the checkpoint (or other record) that they were written for; None for an input of the session."""
    key: str
    reason: str
    cure: Cure

    def to_json(self) -> dict[str, object]:
        return {"checkpoint": self.checkpoint, "key": self.key, "reason": self.reason, "cure": self.cure.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was looked at, and what is wrong with it."""

    deep: bool
    """Whether every byte was read, or only records, index, and the sizes of all else."""
    checkpoints: int
    """How many were checked: all that have not been removed."""
    records: int
    """How many records were read: all of the log."""
    blobs: int
    """How many different blobs are needed: states, additive output, index, inputs."""
    size_bytes: int
    """Bytes of those that are whole."""
    problems: tuple[Problem, ...]
    """What is damaged of that which checkpoints or going on need, by record."""
    resumes_from: Checkpoint | None
    """What a run that needs everything goes on from; None: it starts at the beginning."""
    given_up: tuple[str, ...]
    """Damaged records that nothing rests on any more: they stay as they are, and harm nothing."""
    unreferenced: int | None
    """Blobs that nothing needs any more, for `collect_garbage`; None where damage hides what is needed."""
    unreferenced_bytes: int | None
    foreign: tuple[str, ...]
    """Keys in the folder that are not of a session; nothing ever touches them."""

    @property
    def is_whole(self) -> bool:
        """Whether every checkpoint can be used."""
        return not self.problems

    def to_json(self) -> dict[str, object]:
        """A JSON object with the same members."""
        return {
            "deep": self.deep,
            "checkpoints": self.checkpoints,
            "records": self.records,
            "blobs": self.blobs,
            "size_bytes": self.size_bytes,
            "problems": [problem.to_json() for problem in self.problems],
            "resumes_from": None if self.resumes_from is None else self.resumes_from.to_json(),
            "given_up": list(self.given_up),
            "unreferenced": self.unreferenced,
            "unreferenced_bytes": self.unreferenced_bytes,
            "foreign": list(self.foreign),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What a repair has done."""

    remade: tuple[str, ...] = ()
    """Keys whose bytes are those that were written again."""
    reindexed: bool = False
    """Whether the index was made anew."""
    removed: tuple[Checkpoint, ...] = ()
    """Damaged checkpoints that are off the list now, oldest first."""
    went_back: bool = False
    """Whether damaged records made the session stand at an earlier state."""
    left: tuple[Problem, ...] = ()
    """What is still damaged; a reason says why it could not be made again."""
    resumes_from: Checkpoint | None = None
    """See `Verification`."""

    def to_json(self) -> dict[str, object]:
        """A JSON object with the same members."""
        return {
            "remade": list(self.remade),
            "reindexed": self.reindexed,
            "removed": [checkpoint.to_json() for checkpoint in self.removed],
            "went_back": self.went_back,
            "left": [problem.to_json() for problem in self.left],
            "resumes_from": None if self.resumes_from is None else self.resumes_from.to_json(),
        }
