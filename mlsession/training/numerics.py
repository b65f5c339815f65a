"""What heads are fitted with, as a session has recorded it, against what is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlsession.events import Event, NumericsChanged
from mlsession.extractors.numerics import training_numerics
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count, as_object
from mlsession.session.phase import Json

TRAINING = "training"
"""The member of a session's numerics id that says what a head is trained with; see `training_numerics`."""


def recorded_threads(numerics: Mapping[str, Json]) -> int:
    """Intra-op threads of training. Raises `DamagedData`."""
    with as_written("the session's numerics"):
        return as_count(as_object(numerics[TRAINING])["threads"])


def tell_changes(phase: str, numerics: Mapping[str, Json], emit: Callable[[Event], None]) -> None:
    """Says what a phase that fits heads has here otherwise than the session recorded: its last bits may differ."""
    here = training_numerics(recorded_threads(numerics))
    with as_written("the session's numerics"):
        recorded = as_object(numerics[TRAINING])
    for what, new in here.items():
        if recorded.get(what) != new:
            emit(NumericsChanged(what=f"{phase}.{what}", original=str(recorded.get(what)), new=new))
