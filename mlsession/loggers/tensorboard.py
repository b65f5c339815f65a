"""What the event files of a folder of TensorBoard hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import TensorBoardLogger

from mlsession.loggers.held import HeldFigures

SINGLE = 2.0**-23
"""TensorBoard keeps float32."""
_LENGTH, _CHECKSUM = 8, 4


def take_own_file(logger: TensorBoardLogger) -> None:
    """Has a logger that has not written yet write to a file of its own.

    Its name has the time in seconds: an attempt that begins in the second of another one would write over its file.
    """
    logger._kwargs.setdefault("filename_suffix", f".{len(_files(logger))}")


def held_by(logger: TensorBoardLogger) -> HeldFigures:
    """The scalars in the event files of a logger's folder, one file of each attempt."""
    event_class = _event_class()
    found: dict[tuple[str, int], float] = {}
    for path in _files(logger):
        for record in _records(path):
            event: Any = event_class.FromString(record)
            for value in event.summary.value:
                # As `SummaryWriter.add_scalar` writes them, in its old style and its new one.
                if value.HasField("simple_value"):
                    found[value.tag, event.step] = value.simple_value
                elif len(value.tensor.float_val) == 1:
                    found[value.tag, event.step] = value.tensor.float_val[0]
    return HeldFigures(found, SINGLE)


def _files(logger: TensorBoardLogger) -> list[Path]:
    return sorted(Path(logger.log_dir).glob("events.out.tfevents.*"))


def _event_class() -> Any:
    """What a record of such a file is, of whichever of the two packages the logger writes with."""
    if find_spec("tensorboard") is not None:
        from tensorboard.compat.proto.event_pb2 import Event
    else:
        from tensorboardX.proto.event_pb2 import Event
    return Event


def _records(path: Path) -> Iterator[bytes]:
    """The records of a TFRecord file: length (uint64), its checksum, the bytes, theirs. Ends at one cut short."""
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH + _CHECKSUM)) == _LENGTH + _CHECKSUM:
            (length,) = struct.unpack("<Q", head[:_LENGTH])
            record = file.read(length)
            if len(record) < length or len(file.read(_CHECKSUM)) < _CHECKSUM:
                return
            yield record
