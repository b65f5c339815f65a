"""The processes that train a session together with rank 0, which drives it: each does its share, and writes nothing.

They read from the session's log what is worked on, as rank 0 has opened it; nothing but commands, features and
gradients goes from process to process. See `phases.leading` for the commands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, closing
from typing import cast

from mlsession.devices.crew import Crew
from mlsession.errors import InternalError
from mlsession.events import Event
from mlsession.phases.featured import Picture
from mlsession.phases.leading import END
from mlsession.phases.pictures import Share
from mlsession.phases.sharing import Order, hand_over
from mlsession.session.phase import Json, Past, Phase
from mlsession.training.sources import Source, source_of
from mlsession.training.task import ImageClassification

COMMON = (Phase.FINETUNING,)
"""Phases that every rank runs, in step with the others."""

OpenTask = Callable[[Callable[[Event], None]], AbstractContextManager[tuple[ImageClassification, Past]]]
"""The task that rank 0 works on now, as the log says, telling its events; and what is committed."""


def follow(crew: Crew, open_task: OpenTask) -> None:
    """A follower's work, until rank 0 lets it go. Raises `WorkerLost`.

    What goes wrong while it makes features is raised by rank 0; in a phase that all ranks run alike, here.
    """
    with closing(_Follower(crew, open_task)) as follower:
        while isinstance(command := crew.agree(None), dict) and command["do"] != END:
            match command["do"]:
                case "phase":
                    follower.begin(str(command["phase"]), command["commit"])
                case "batches":
                    follower.hand_over(Order.of(command))
                case other:
                    raise InternalError(f"rank 0 said {other!r}, which nobody understands")


class _Follower:
    """Does its share of the phase that rank 0 is in."""

    def __init__(self, crew: Crew, open_task: OpenTask) -> None:
        self._crew = crew
        self._open_task = open_task
        self._opened: tuple[ImageClassification, Past] | None = None
        self._sources: dict[str, Source] = {}
        self._stack = ExitStack()
        self._events: list[Json] = []
        self._emitting = threading.Lock()

    def begin(self, phase: str, commit: Json) -> None:
        """Forgets the phase before; takes part in one that all ranks run alike, until it is over."""
        self.close()
        if phase not in COMMON:
            return
        task, past = self._task()
        if commit is not None and past.newest_commit(phase) != commit:
            raise InternalError(f"rank 0 goes on from checkpoint {commit}, and the log does not say so")
        for _ in task.runner(phase, past).run(None if commit is None else past.state(phase)):
            pass

    def hand_over(self, order: Order) -> None:
        """Its share of the batches of an order."""
        with closing(self._batches(order)) as batches:
            hand_over(self._crew, batches, self._told)

    def close(self) -> None:
        """Lets go of what the phase needed."""
        stack, self._stack = self._stack, ExitStack()
        self._opened = None
        self._sources = {}
        stack.close()

    def _task(self) -> tuple[ImageClassification, Past]:
        if self._opened is None:
            self._opened = self._stack.enter_context(self._open_task(self._emit))
        return self._opened

    def _batches(self, order: Order) -> Generator[tuple[Picture, ...], None, None]:
        share = Share(rank=self._crew.rank, size=self._crew.size, neighbours=self._crew.local_size)
        source, rows = self._source(order.source), range(order.first, order.end)
        made = source.featurizer.worked(
            rows, source.key_of, source.bytes_of, order.size, order.augmented, share, source.stamps
        )
        for pictures in made:
            yield pictures
            source.featurizer.forget(pictures)

    def _source(self, name: str) -> Source:
        """Of a phase; so the networks are loaded once."""
        if name not in self._sources:
            task, past = self._task()
            source = self._sources[name] = source_of(task, name, past)
            self._stack.enter_context(closing(source.featurizer))
        return self._sources[name]

    def _emit(self, event: Event) -> None:
        with self._emitting:
            self._events.append(cast(Json, event.to_json()))

    def _told(self) -> list[Json]:
        with self._emitting:
            events, self._events = self._events, []
        return events
