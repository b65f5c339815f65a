"""Corrections of labels that a session's caller gives: kept with each attempt, so that it can go on from the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlsession.data.corrections import Corrections
from mlsession.data.index import ImageIndex
from mlsession.data.source import DataSource
from mlsession.events import Event, LabelsCorrected
from mlsession.session.session import TrainingSession
from mlsession.training.images.inputs import CORRECTIONS, TEST_INDEX, TRAINING_INDEX

_KEPT = (
    "the images stay as they were recorded, for changes are ignored; "
    "take it on with on_modified_data='update' (--on-modified-data update)"
)


def recorded_corrections(session: TrainingSession, index: str) -> Corrections | None:
    """Those of the newest attempt, for the images of an index; None for none. Raises `DamagedData`.

    Those that a session was made with count until it is opened: an attempt without any has none.
    """
    is_opened = session.timeline.opened.number > 0
    held = session.attachments if is_opened else session.identity.attachments
    name = CORRECTIONS[index]
    return Corrections.from_bytes(session.attachment(name)) if name in held else None


def cure_without_corrections(session: TrainingSession, given: Mapping[str, bytes]) -> str:
    """What to do first about changed images where corrections were given before, and none are now; "" elsewhere."""
    if CORRECTIONS[TRAINING_INDEX] in given:
        return ""
    before = recorded_corrections(session, TRAINING_INDEX)
    return "" if before is None else f"give the corrections in {before.source} again (--labels), "


def corrections_to_keep(sources: Mapping[str, DataSource]) -> dict[str, bytes]:
    """The attachments of an attempt on some sources, by the names of their indexes."""
    return {
        CORRECTIONS[index]: source.corrections.to_bytes()
        for index, source in sources.items()
        if source.corrections is not None
    }


def tell_corrections(
    sources: Mapping[str, DataSource],
    images: Mapping[str, ImageIndex | None],
    emit: Callable[[Event], None],
    is_kept: bool = False,
) -> None:
    """Says what became of the corrections in the images that are worked on, by the names of their indexes.

    `is_kept`: whether these are those of before, whatever is corrected today.
    """
    for name, source in sources.items():
        corrected, index = source.corrections, images.get(name)
        if corrected is not None and index is not None:
            left = corrected.left(index)
            if is_kept and name != TEST_INDEX:
                left = dict.fromkeys(left, _KEPT)
            removals = [row.path for row in corrected.rows if row.label is None]
            removed = len(removals) - len(left.keys() & set(removals))
            relabeled = len(corrected.rows) - len(removals) - len(left.keys() - set(removals))
            emit(LabelsCorrected(table=corrected.source, relabeled=relabeled, removed=removed, left=left))
