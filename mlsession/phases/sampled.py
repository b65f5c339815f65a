"""The images that extractors are tried on, and what trying them has left; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.phases.chosen_extractor import CHOSEN, ExtractorChoice
from mlsession.phases.donation import DonatedRows, collect_rows
from mlsession.phases.listed import StampedRows
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_object
from mlsession.session.phase import Arrays, Past, Phase

Usable = Callable[[npt.NDArray[np.int64], npt.NDArray[np.uint8]], npt.NDArray[np.bool_]]
"""(labels int64 [n], digests uint8 [n, 32]) of readable images of the sample -> bool [n]: which may be chosen on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Training images to try extractors on; rows are numbered within it."""

    labels: npt.NDArray[np.int64]
    """[n]."""
    key_of: Callable[[int], str]
    bytes_of: Callable[[int], bytes]
    usable: Usable
    digest: str
    """Names the images: a state of others is not gone on from."""
    stamps: StampedRows | None = None
    """What they are known by without reading them."""


def sampled_rows(past: Past) -> DonatedRows:
    """What choosing has extracted with the extractor that it has kept, by content. Raises `DamagedData`."""
    with as_written("rows of choosing"):
        choice = ExtractorChoice.from_json(as_object(past.state(Phase.CHOOSING).data[CHOSEN]))
        return collect_rows(rows_by(past, choice.names.index(choice.kept)), choice.images, _keys)


def rows_by(past: Past, place: int) -> Iterator[Arrays]:
    """The rows that one candidate has made, in order. Raises `DamagedData`."""
    for block in past.rows(Phase.CHOOSING):
        mine = block["candidate"] == place
        if mine.any():
            yield {name: array[mine] for name, array in block.items()}


def _keys(block: Arrays) -> list[bytes]:
    """Of an image itself the features go by the SHA-256 of its bytes; see `phases.cache.view_key`."""
    rows = zip(block["digest"], block["readable"].tolist(), strict=True)
    return [digest.tobytes() if readable else b"" for digest, readable in rows]
