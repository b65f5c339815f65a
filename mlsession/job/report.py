"""What rank 0 of the workers tells the training that started them, line by line in a file of this machine.

The session's log has all that counts; here are the events, live, and the last words of a worker that could not write
there. A file that cannot be written is no reason to end a training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mlsession.devices.events import event_from_json
from mlsession.events import Event
from mlsession.session.phase import Json

_ENDED = "ended"


class ReportWriter:
    """Adds lines to a file; belongs to one thread."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def tell(self, event: Event) -> None:
        """Adds an event."""
        self._add(event.to_json())

    def end(self, failure: Mapping[str, Json]) -> None:
        """Adds what ended the worker."""
        self._add({_ENDED: dict(failure)})

    def _add(self, value: Mapping[str, object]) -> None:
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(json.dumps(value) + "\n")
        except OSError:
            return


class ReportReader:
    """Reads on in such a file, from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = 0
        self.failure: dict[str, Json] | None = None
        """What ended the newest worker that has said so."""

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
        if isinstance(ended := value.get(_ENDED), dict):
            self.failure = ended
            return None
        return event_from_json(value)
