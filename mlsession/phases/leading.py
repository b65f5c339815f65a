"""What rank 0 tells the processes that follow it.

"phase"    a phase begins that they take part in; `commit` is the checkpoint that it goes on from, if any
"batches"  see `phases.sharing`
"end"      there is nothing more to do
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from mlsession.devices.world import World
from mlsession.errors import WorkerLost
from mlsession.session.phase import Past, PhaseRunner, PhaseState, Step

PHASE, END = "phase", "end"


@dataclass(frozen=True, slots=True)
class Led:
    """A phase that others take part in: they are told before it begins."""

    phase: str
    runner: PhaseRunner
    past: Past
    world: World

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        commit = None if state is None else self.past.newest_commit(self.phase)
        self.world.agree({"do": PHASE, "phase": self.phase, "commit": commit})
        yield from self.runner.run(state)


@contextmanager
def led(world: World | None) -> Iterator[None]:
    """While the block runs the others, if there are any, wait for commands; then they are let go, however it ends."""
    try:
        yield
    finally:
        if world is not None:
            with suppress(WorkerLost):
                world.agree({"do": END})
