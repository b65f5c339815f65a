"""What a session is, in as few words as possible: the oracle of `test_model`, which shares no code with the package.

A session is a list of facts, one a record. The newest opening says who may write. The newest fact and its parents are
the line that counts; what lies beside it counts for nothing, except that what was once removed is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PHASES = ("walking", "summing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a checkpoint holds."""

    phase: str
    iteration: int
    fresh: bool
    ended: bool
    content: tuple[str, ...]
    """The SHA-256 of the state, and those of the rows that came with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What one record says."""

    kind: str
    writer: str
    parent: int | None
    commit: Commit | None = None
    gone: frozenset[int] = frozenset()
    """Checkpoints that a removal takes off the list."""
    outcome: str = ""


@dataclass(kw_only=True)
class ReferenceSession:
    """A session; `facts` only ever grows."""

    facts: list[Fact] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The number of the newest fact."""
        return len(self.facts) - 1

    @property
    def owner(self) -> str:
        """Who may write."""
        return next(fact.writer for fact in reversed(self.facts) if fact.kind in ("created", "opened"))

    def line(self, end: int | None = None) -> list[int]:
        """The numbers that count as of one fact, in order."""
        numbers = [self.end if end is None else end]
        while (parent := self.facts[numbers[-1]].parent) is not None:
            numbers.append(parent)
        return numbers[::-1]

    def commits(self, end: int | None = None) -> dict[int, Commit]:
        """All checkpoints that count as of one fact, removed or not."""
        return {number: commit for number in self.line(end) if (commit := self.facts[number].commit)}

    def gone(self) -> set[int]:
        """All that was ever removed."""
        return set[int]().union(*(fact.gone for fact in self.facts))

    def live(self) -> list[int]:
        """The checkpoints that a person sees."""
        return [number for number in self.commits() if number not in self.gone()]

    def newest(self, end: int | None = None) -> dict[str, int]:
        """The last checkpoint of each phase."""
        return {commit.phase: number for number, commit in self.commits(end).items()}

    def resting(self, end: int) -> list[int]:
        """The checkpoints that whoever goes on from a fact needs: each phase's last, while they come in order."""
        newest, commits, found = self.newest(end), self.commits(end), list[int]()
        for phase in PHASES:
            if phase not in newest or newest[phase] < max(found, default=0):
                break
            found.append(newest[phase])
            if not commits[newest[phase]].ended:
                break
        return found

    def before(self, number: int) -> int:
        """The newest fact before `number` from which one can go on: nothing that it needs is gone."""
        return next(n for n in reversed(self.line(number)[:-1]) if not self.gone() & set(self.resting(n)))

    @property
    def closed(self) -> bool:
        """Whether the newest opening said how it ended."""
        last = [self.facts[n].kind for n in self.line() if self.facts[n].kind in ("created", "opened", "closed")]
        return last[-1] == "closed"
