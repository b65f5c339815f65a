"""Holding the document's reader against the library's, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlsession.errors import DamagedData
from mlsession.session.log.canonical import canonical_json
from mlsession.session.log.journal import Journal
from mlsession.session.log.pages import additive_blobs, live_checkpoints
from mlsession.session.log.timeline import Timeline
from mlsession.session.past import StoredPast
from mlsession.session.phase import Json
from mlsession.store.local import LocalStore

from .reader import Folded, SessionFolder
from .stored import Damaged

PHASES = ("walking", "summing")


def library(root: Path, at_most: int | None = None) -> tuple[Timeline, StoredPast, frozenset[str]]:
    """What the library reads in a folder."""
    store = LocalStore(root)
    state = Journal(store).load(at_most)
    assert state is not None
    past = StoredPast(store, state.timeline)
    return state.timeline, past, frozenset(damage.key for damage in state.damaged)


def attempt_to_read(call: Callable[[], object]) -> object:
    """What a call gives; of damage the key that it names."""
    try:
        return call()
    except (Damaged, DamagedData) as damage:
        return f"damaged: {damage.key}"


def of_timeline(timeline: Timeline) -> bytes:
    """The state of a session apart from what lies in pages, in one form for both readers."""
    return canonical_json(
        {
            "tip": timeline.tip.number,
            "opened": [timeline.opened.number, timeline.opened.writer, dict(timeline.opened.body)],
            "closed": timeline.closed.number if timeline.closed else None,
            "removal": timeline.removal,
            "newest": {phase: entry.to_json() for phase, entry in timeline.newest.items()},
        }
    )


def of_folded(folded: Folded) -> bytes:
    opened, closed = folded.opened, folded.closed
    return canonical_json(
        {
            "tip": folded.tip["number"],
            "opened": [opened["number"], opened["writer"], opened["body"]],
            "closed": closed["number"] if closed else None,
            "removal": folded.removal,
            "newest": dict(folded.newest),
        }
    )


def hashable(arrays: dict[str, Any]) -> dict[str, Json]:
    """Arrays to the bit."""
    return {name: [array.dtype.str, list(array.shape), array.tobytes().hex()] for name, array in arrays.items()}


def state_of(past: StoredPast, phase: str) -> bytes:
    state = past.state(phase)
    return canonical_json([hashable(dict(state.arrays)), dict(state.data)])


def state_read(reader: SessionFolder, folded: Folded, phase: str) -> bytes:
    arrays, data = reader.state(folded, phase)
    return canonical_json([hashable(arrays), data])


def rows_of(past: StoredPast, phase: str) -> bytes:
    blocks = list(past.rows(phase))
    return canonical_json(
        hashable({name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]} if blocks else {})
    )


def compare(root: Path, phases: tuple[str, ...] = PHASES) -> Folded:
    """Both read the same, damage included; the state that the document's reader found."""
    timeline, past, damaged = library(root)
    reader = SessionFolder(root)
    folded, passed_over = reader.newest()
    assert of_folded(folded) == of_timeline(timeline)
    assert passed_over == damaged
    assert attempt_to_read(lambda: canonical_json(reader.checkpoints(folded))) == attempt_to_read(
        lambda: canonical_json([entry.to_json() for entry in live_checkpoints(timeline, past.read)])
    )
    for phase in phases:
        assert read_phase(reader, folded, phase) == read_by_library(past, timeline, phase)
    return folded


def read_phase(reader: SessionFolder, folded: Folded, phase: str) -> list[object]:
    """Blobs, rows and newest state of a phase."""
    return [
        attempt_to_read(lambda: reader.adds(folded, phase)),
        attempt_to_read(lambda: canonical_json(hashable(reader.rows(folded, phase)))),
        phase in folded.newest and attempt_to_read(lambda: state_read(reader, folded, phase)),
    ]


def read_by_library(past: StoredPast, timeline: Timeline, phase: str) -> list[object]:
    """The same."""
    return [
        attempt_to_read(lambda: [ref.to_json() for ref in additive_blobs(timeline, phase, past.read)]),
        attempt_to_read(lambda: rows_of(past, phase)),
        phase in timeline.newest and attempt_to_read(lambda: state_of(past, phase)),
    ]


def check_whole(root: Path, phases: tuple[str, ...] = PHASES) -> Folded:
    """`compare`, and for a session without damage: every hash holds, and the index says what the records say."""
    folded = compare(root, phases)
    reader = SessionFolder(root)
    assert set(reader.check(folded)) <= {str(path.relative_to(root)) for path in root.rglob("*")}
    plain = reader.fold_without_index(folded.tip["number"])
    assert of_folded(plain) == of_folded(folded)
    assert canonical_json(reader.checkpoints(plain)) == canonical_json(reader.checkpoints(folded))
    for phase in phases:
        assert reader.adds(plain, phase) == reader.adds(folded, phase)
    return folded
