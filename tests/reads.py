"""Files that may be known by stamps at once, and which of them are read for their features."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlsession.data.reader import SourceReader
from mlsession.store.stamps import stamp_of

MOST_TOUCHES = 1000


def settle(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Has files below a folder taken for ones that were made an hour ago; skips where its times are too coarse."""
    # A time of the last change cannot be set, only waited for.
    patch.setattr("mlsession.store.stamps.SETTLED_SECONDS", -3600.0)
    for path in folder.rglob("*.*"):
        for _ in range(MOST_TOUCHES):
            if stamp_of(path.stat()):
                break
            path.touch()
        else:
            pytest.skip(f"the times of {path.parent} tell no changes within a millisecond")


@dataclass
class Reads:
    """Every image that is read for its features where there is a cache."""

    keys: list[str] = field(default_factory=list)

    @classmethod
    def counted(cls, patch: pytest.MonkeyPatch) -> Reads:
        """From now on."""
        seen, read = cls(), SourceReader.read_stamped

        def counting(self: SourceReader, key: str) -> tuple[bytes, bytes]:
            seen.keys.append(key)
            return read(self, key)

        patch.setattr(SourceReader, "read_stamped", counting)
        return seen

    def taken(self) -> int:
        """How many images were read since this was last asked."""
        count = len(self.keys)
        self.keys.clear()
        return count
