"""Lightning's checkpoints, written to and read from a session; the seam that Lightning has for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from typing import cast

import torch
from lightning_fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from mlsession.errors import DamagedData, InvalidParameter, SessionNotFound, UsageError
from mlsession.integrations.lightning.handover import TASK
from mlsession.integrations.lightning.tree import flatten, inflate
from mlsession.job.run import SessionPlace
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_count
from mlsession.session.parameters import SessionParameters
from mlsession.session.past import StoredPast
from mlsession.session.phase import Json, Phase, PhaseState
from mlsession.session.session import TrainingSession

NEXT = "next"
"""In place of a record's name: the checkpoint that is being taken, which has no number yet."""
TREE, TURNS = "tree", "turns"
_CHECKPOINT = re.compile(r"(?P<session>.*)/log/(?P<number>\d{10}|next)\.json")


class SessionCheckpointIO(CheckpointIO):
    """Keeps the checkpoints of one session; files elsewhere are left to torch, as without this plugin.

    A callback of Lightning's own, such as `ModelCheckpoint`, so writes where it did before.
    """

    def __init__(self, place: SessionPlace, parameters: SessionParameters) -> None:
        self._place = place
        self._parameters = parameters
        self._elsewhere = TorchCheckpointIO()
        self.taken: PhaseState | None = None
        """The newest checkpoint that was asked to be saved here; not stored yet."""
        self.loaded: int | None = None
        """The turns of the checkpoint that was read last."""

    @property
    def next_url(self) -> str:
        """Where Lightning is told to save what the session takes over."""
        return f"{self._place.url}/log/{NEXT}.json"

    def newest(self) -> str | None:
        """The URL of the newest checkpoint; None where there is none, or no session yet."""
        try:
            with closing(TrainingSession(self._place.open, self._parameters)) as session:
                self._check(session)
                newest = session.newest_checkpoint
                return None if newest is None else newest.url
        except SessionNotFound:
            return None

    def save_checkpoint(
        self, checkpoint: dict[str, object], path: object, storage_options: object | None = None
    ) -> None:
        """Raises `InvalidParameter` where the checkpoint holds more than arrays and plain values."""
        match = _CHECKPOINT.fullmatch(str(path))
        if match is None:
            self._elsewhere.save_checkpoint(checkpoint, path, storage_options)  # type: ignore[arg-type]
            return
        arrays, tree = flatten(checkpoint)
        self.taken = PhaseState(arrays, {TREE: tree})

    def load_checkpoint(
        self, path: object, map_location: object | None = None, weights_only: bool | None = None
    ) -> dict[str, object]:
        """Raises `SessionNotFound`, `NoUsableCheckpoint`, `DamagedData`; nothing that is read can run code."""
        match = _CHECKPOINT.fullmatch(str(path))
        if match is None:
            loaded = _load_elsewhere(self._elsewhere, path, map_location, weights_only)
            return cast("dict[str, object]", loaded)
        place = SessionPlace(url=match["session"], storage_options=self._place.storage_options)
        with closing(TrainingSession(place.open, self._parameters)) as session:
            self._check(session)
            past: StoredPast = session.at_checkpoint(int(match["number"]))
            state = past.state(Phase.TRAINING)
        with as_written(str(path)):
            self.loaded = as_count(state.data[TURNS])
            return restored(state)

    def remove_checkpoint(self, path: object) -> None:
        """Checkpoints of a session are removed by the session: see `keep_last` and `TrainingSession`."""
        if _CHECKPOINT.fullmatch(str(path)) is None:
            self._elsewhere.remove_checkpoint(path)  # type: ignore[arg-type]

    def _check(self, session: TrainingSession) -> None:
        if session.identity.task != TASK:
            task = session.identity.task
            raise UsageError(f"{session.url} holds a session of task {task!r}, not {TASK!r}; choose another folder")


def restored(state: PhaseState) -> dict[str, object]:
    """Lightning's checkpoint in the state of a session. Raises `DamagedData`."""
    checkpoint = inflate(state.data[TREE], state.arrays)
    if not isinstance(checkpoint, dict):
        raise DamagedData("checkpoint", "it holds no checkpoint of Lightning")
    return checkpoint


def with_turns(state: PhaseState, facts: Mapping[str, Json]) -> PhaseState:
    """The state with plain values of the session's own beside Lightning's."""
    return PhaseState(state.arrays, {**state.data, **facts})


def _load_elsewhere(
    torch_io: TorchCheckpointIO, path: object, map_location: object | None, weights_only: bool | None
) -> object:
    # Lightning before 2.6 does not know `weights_only`.
    options = {} if weights_only is None else {"weights_only": weights_only}
    where = (lambda storage, location: storage) if map_location is None else map_location
    return torch_io.load_checkpoint(path, where, **options)  # type: ignore[arg-type]


def check_plain(name: str, values: Mapping[str, object]) -> Mapping[str, Json]:
    """The values, where they can be stored and compared as JSON. Raises `InvalidParameter`."""
    for key, value in values.items():
        if isinstance(value, torch.Tensor) or not isinstance(value, str | int | float | bool | list | dict | None):
            raise InvalidParameter(f"{name}[{key!r}]", type(value).__name__, "must be a plain value, list or dict")
    return cast("Mapping[str, Json]", values)
