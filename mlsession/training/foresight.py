"""Loading what the next phase needs while this one works: to import torch takes seconds, most of them on one core."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from mlsession.session.phase import PhaseRunner, PhaseState, Step


@dataclass(frozen=True, slots=True)
class Foreseeing:
    """A phase whose first step has something loaded in a thread of its own; not before, so nothing waits for it."""

    runner: PhaseRunner
    load: Callable[[], None]

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        steps = self.runner.run(state)
        first = next(steps, None)
        if first is None:
            return
        # No daemon: an interpreter that ends in the midst of loading a library may crash.
        threading.Thread(target=self._load, name="mlsession-loading").start()
        yield first
        yield from steps

    def _load(self) -> None:
        with suppress(Exception):  # Whoever needs it meets that again, and says it.
            self.load()


def load_training() -> None:
    """What chooses and fits heads, and torch with it."""
    import mlsession.phases.select
    import mlsession.phases.train  # noqa: F401
