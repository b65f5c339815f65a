"""What workers tell the training that started them, line by line in a file of this machine.

The session's log has all that counts; here are the events, live, and the last words of workers that could not write
there. A file that cannot be written is no reason to end a training.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from mlsession.devices.events import event_from_json
from mlsession.devices.failures import is_failure
from mlsession.events import Event
from mlsession.session.phase import Json

_BEGAN, _ENDED, _RANK = "began", "ended", "rank"


class ReportWriter:
    """Adds lines to a file that others add to as well; belongs to one thread."""

    def __init__(self, path: str, rank: int = 0, start: int = 0) -> None:
        """Of a rank of the workers' `start`-th start, counted from 0."""
        self._path = path
        self._rank = rank
        self._start = start

    def begin(self) -> None:
        """Says that the worker has come up."""
        self._add({_BEGAN: self._start, _RANK: self._rank})

    def tell(self, event: Event) -> None:
        """Adds an event."""
        self._add(event.to_json())

    def end(self, failure: Mapping[str, Json]) -> None:
        """Adds what ended the worker."""
        self._add({_ENDED: dict(failure), _BEGAN: self._start, _RANK: self._rank})

    def _add(self, value: Mapping[str, object]) -> None:
        line = json.dumps(value).encode("ascii") + b"\n"
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line)  # At once: the lines of several processes do not mix.
            finally:
                os.close(file)
        except OSError:
            return


class ReportReader:
    """Reads on in such a file, from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = 0
        self._start = 0
        self.failure: tuple[int, dict[str, Json]] | None = None
        """The rank that ended first of an error, and which, since the workers were started last."""

    def read(self) -> list[Event]:
        """The events of all whole lines since the last look."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._done)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._done += len(whole)
        events = [self._taken(line) for line in whole.splitlines()]
        return [event for event in events if event is not None]

    def _taken(self, line: bytes) -> Event | None:
        try:
            value = json.loads(line)
        except ValueError:
            return None  # Half a line of a worker that was killed, and the first one of the next.
        if not isinstance(value, dict):
            return None
        if _BEGAN not in value:
            return event_from_json(value)
        start, ended = value[_BEGAN], value.get(_ENDED)
        if start > self._start:  # What ended the workers before has ended nobody now.
            self._start, self.failure = start, None
        if start == self._start and self.failure is None and isinstance(ended, dict) and is_failure(ended):
            self.failure = value[_RANK], ended
        return None
