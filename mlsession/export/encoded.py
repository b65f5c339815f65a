"""An export in memory, before it is written: one file, or a folder of files that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlsession.errors import InternalError


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """The bytes of an export."""

    files: Mapping[str, bytes]
    """By path below the export's own, parts joined by "/", in the order in which they are to be written: a folder is
    whole when its last file is there. An export that is one file has it under ""."""

    @classmethod
    def of_file(cls, data: bytes) -> Encoded:
        """An export that is one file."""
        return cls({"": data})

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder rather than a file."""
        return "" not in self.files

    @property
    def data(self) -> bytes:
        """The bytes of an export that is one file. Raises `InternalError` for a folder."""
        if self.is_folder:
            raise InternalError(f"an export of {len(self.files)} files was taken for a single one; report this")
        return self.files[""]

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(map(len, self.files.values()))
