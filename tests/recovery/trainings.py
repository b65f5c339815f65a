"""Small real trainings by `mlsession train`, forked from a process that has imported everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlsession.session.log.layout import record_key, record_number
from mlsession.session.log.records import Record
from mlsession.store import LocalStore, Store
from tests.photos import copy_photos
from tests.recovery.halting import is_within
from tests.recovery.nursery import Forked, Nursery

LABELS = ("Banana", "Kiwi", "Lemon")
PHASES = ("extracting", "training", "evaluating")


def prepared_photos(folder: Path) -> Path:
    """`train` with 24 photos, two steps of extracting, and `test` with 33, three steps of evaluating more."""
    copy_photos(folder / "train", "train", 8, LABELS)
    return copy_photos(folder / "test", "train", 11, LABELS).parent


class Training:
    """The same line on the same session, as often as it takes."""

    def __init__(self, trainers: Nursery, photos: Path, session: Path, *words: str, cache: str = "none") -> None:
        self._trainers = trainers
        self._line = [
            *("train", str(photos / "train"), "--test", str(photos / "test"), "--session", str(session)),
            *("--cache", cache, "--checkpoint-interval", "1", "--tune", "off", "--json", *words),
        ]
        self.store = LocalStore(session)

    def start(self, user: int | None = None, halt: str = "") -> Forked:
        """`halt`: where it is to stop in its tracks, see halting.py."""
        return self._trainers.start("mlsession", *self._line, user=user, halt=halt)

    def end(self, user: int | None = None) -> tuple[int, str]:
        """How it ended, and what it said last."""
        child = self.start(user)
        return child.wait(), (child.err.splitlines() or [""])[-1]

    def finish(self) -> dict[str, Any]:
        """Runs to the end; what it printed as JSON."""
        child = self.start()
        assert child.wait() == 0, child.err
        found: dict[str, Any] = json.loads(child.out)
        return found


def newest_record(store: Store) -> Record | None:
    """The record with the largest number."""
    numbers = [number for entry in store.list("log") if (number := record_number(entry.key)) is not None]
    return Record.decode(store.get(record_key(max(numbers))), max(numbers)) if numbers else None


def inside(store: Store, *phases: str) -> bool:
    """Whether the newest record is a checkpoint in the midst of one of these phases."""
    record = newest_record(store)
    return record is not None and is_within(record, *phases)


def left_beside(folder: Path) -> list[str]:
    """All names in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())
