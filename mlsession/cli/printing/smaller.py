"""What exports are compressed to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Smaller:
    """As typed; None: nothing was."""

    compress: str | None = None
    max_changed: float | None = None

    def check(self, path: str) -> None:
        """Raises `InvalidParameter` for what an export to `path` cannot be compressed to."""
        from mlsession.export.compression import checked_compression
        from mlsession.export.plugins import offered_suffixes
        from mlsession.export.protocol import export_suffix

        checked_compression(export_suffix(path, offered_suffixes), self.compress, self.max_changed)

    def check_folder(self, suffixes: Sequence[str]) -> None:
        """The same for a folder whose files end in `suffixes`."""
        from mlsession.export.compression import checked_folder_compression

        checked_folder_compression(suffixes, self.compress, self.max_changed)
