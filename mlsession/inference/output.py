"""The file of predictions: written beside everything first, then put in its place in one step.

write the table to a temporary file here, block by block
if the place holds the same bytes already: done
put the file (a store shows all of it or nothing), and read it back
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mlsession.errors import DamagedData, InvalidParameter, KeyMissing
from mlsession.inference.csv_table import CsvWriter
from mlsession.inference.parquet_table import ParquetWriter
from mlsession.inference.table import Block, TableWriter
from mlsession.store import Store, check_written_key, is_local, join_url, open_store, parent_url, redact, url_name
from mlsession.store.bulk import put_file

SUFFIX = ".mlsession"
"""What the session of an output is called after it with."""
_PIECE = 8 * 2**20
"""Bytes that are compared at a time."""

WRITERS: Mapping[str, Callable[[Path, Sequence[str], int], TableWriter]] = MappingProxyType(
    {".csv": CsvWriter, ".parquet": ParquetWriter}
)
"""By what the name of the output ends in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where predictions go. Raises `InvalidParameter` for a name that no store can hold, and for another format."""

    url: str
    storage_options: Mapping[str, object] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.suffix not in WRITERS:
            raise InvalidParameter("output", redact(self.url), f"must end in {' or '.join(WRITERS)}")
        check_written_key(self.name)
        self.open().close()  # An unknown scheme shows now, not in the end.

    @property
    def name(self) -> str:
        """Its last part."""
        return url_name(self.url)

    @property
    def suffix(self) -> str:
        """What its name ends in, in small letters."""
        return Path(self.name).suffix.lower()

    @property
    def session_url(self) -> str:
        """Where the session lies if nothing else is said: beside it."""
        beside = join_url(parent_url(self.url), f"{self.name}{SUFFIX}")
        return str(Path(beside)) if is_local(beside) and "://" not in beside else beside

    def open(self) -> Store:
        """A handle on the folder that it lies in; close it in the end."""
        return open_store(parent_url(self.url), self.storage_options)


def write_table(
    output: Output,
    open_folder: Callable[[], Store],
    blocks: Iterable[Block],
    classes: Sequence[str],
    top: int,
) -> int:
    """Puts the table in its place in one step, and returns its size in bytes; one that is there already stays.

    `open_folder` gives a handle on the output's folder. Raises `StoreError`, `DamagedData` if the place gives back
    other bytes than it was given, `OSError` where the temporary folder is full, and what `blocks` raises: then nothing
    has changed.
    """
    with tempfile.TemporaryDirectory(prefix="mlsession-") as folder:
        path = Path(folder) / f"predictions{output.suffix}"
        with closing(WRITERS[output.suffix](path, classes, top)) as writer:
            for block in blocks:
                writer.write(block)
        with closing(open_folder()) as store:
            if not _holds(store, output.name, path):
                put_file(store, output.name, path)
                if not _holds(store, output.name, path):
                    reason = "it reads back otherwise than it was written; check the disk and run the same command"
                    raise DamagedData(redact(output.url), reason)
        return path.stat().st_size


def _holds(store: Store, key: str, path: Path) -> bool:
    """Whether a key has the same bytes as a local file."""
    try:
        with path.open("rb") as file:
            start = 0
            while True:
                piece = file.read(_PIECE)
                # One byte more than there must be shows a longer one.
                stop = start + len(piece) + (len(piece) < _PIECE)
                if store.get_range(key, start, stop) != piece:
                    return False
                if len(piece) < _PIECE:
                    return True
                start += len(piece)
    except KeyMissing:
        return False
