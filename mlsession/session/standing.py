"""Where a task stands: which phase comes next, and from which commit it goes on. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlsession.session.log.records import CheckpointEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The phase to run now, or None if all are complete."""

    phase: str | None
    entry: CheckpointEntry | None = None
    """The commit to go on from; None: the phase starts at its beginning."""


def valid_commits(
    phases: tuple[str, ...], newest: Mapping[str, CheckpointEntry], inputs: Callable[[str], str]
) -> dict[str, CheckpointEntry]:
    """The newest commit of each phase, as far as it still counts.

    A commit counts if its phase saw the inputs of today, and if it came after the newest commit of every phase
    before it: what was evaluated before training went on says nothing about the model of now.
    """
    valid: dict[str, CheckpointEntry] = {}
    last = 0
    for phase in phases:
        entry = newest.get(phase)
        if entry is None or entry.number < last or entry.inputs != inputs(phase):
            return valid
        valid[phase] = entry
        last = entry.number
        if not entry.ended:
            return valid
    return valid


def stand(
    phases: tuple[str, ...],
    newest: Mapping[str, CheckpointEntry],
    inputs: Callable[[str], str],
    is_complete: Callable[[CheckpointEntry], bool],
) -> Standing:
    """The first phase that has not ended, or that a changed limit gives more to do."""
    valid = valid_commits(phases, newest, inputs)
    for phase in phases:
        entry = valid.get(phase)
        if entry is None or not entry.ended or not is_complete(entry):
            return Standing(phase=phase, entry=entry)
    return Standing(phase=None)
