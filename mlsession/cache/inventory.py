"""What a feature cache holds, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlsession.cache.memo import FRONT_BYTES, count_in
from mlsession.cache.packs import about_key
from mlsession.cache.upkeep import folder_in, look, read_fronts
from mlsession.errors import DamagedData
from mlsession.session.log.canonical import parse_json
from mlsession.store.bulk import get_many
from mlsession.store.protocol import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderContents:
    """The features that one extractor has made on one kind of machine."""

    extractor: str
    """Its identity; "" where it is not said."""
    numerics: Mapping[str, str]
    num_packs: int
    num_rows: int
    size_bytes: int

    def to_json(self) -> dict[str, object]:
        return {
            "extractor": self.extractor,
            "numerics": dict(self.numerics),
            "packs": self.num_packs,
            "rows": self.num_rows,
            "size_bytes": self.size_bytes,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that a cache keeps as long as there is room."""

    folders: tuple[FolderContents, ...]
    """The largest first."""
    num_known_files: int
    """Entries that say what a file holds; a file that was changed since has an old one beside its own."""
    memo_bytes: int
    """Of these entries."""

    @property
    def num_packs(self) -> int:
        """Files of features."""
        return sum(part.num_packs for part in self.folders)

    @property
    def num_rows(self) -> int:
        """Rows of features."""
        return sum(part.num_rows for part in self.folders)

    @property
    def size_bytes(self) -> int:
        """What counts towards the cache's bound."""
        return sum(part.size_bytes for part in self.folders) + self.memo_bytes

    def to_json(self) -> dict[str, object]:
        return {
            "size_bytes": self.size_bytes,
            "packs": self.num_packs,
            "known_files": self.num_known_files,
            "memo_bytes": self.memo_bytes,
            "extractors": [part.to_json() for part in self.folders],
        }


def contents(store: Store) -> Contents:
    """What a cache holds. Raises `StoreError`."""
    holding, found = look(store), list[FolderContents]()
    abouts = get_many(store, dict.fromkeys(holding.abouts, 2**20))
    for folder in sorted({folder_in(key) for key in holding.packs}):
        packs = holding.of(folder)
        extractor, numerics = _said(abouts.get(about_key(folder), b""))
        found.append(
            FolderContents(
                extractor=extractor,
                numerics=numerics,
                num_packs=len(packs),
                num_rows=sum(len(front.digests) for _, front in read_fronts(store, packs)),
                size_bytes=sum(packs.values()),
            )
        )
    fronts = get_many(store, dict.fromkeys(holding.memos, FRONT_BYTES))
    return Contents(
        folders=tuple(sorted(found, key=lambda part: (-part.size_bytes, part.extractor))),
        num_known_files=sum(count_in(front, holding.memos[key]) or 0 for key, front in fronts.items()),
        memo_bytes=sum(holding.memos.values()),
    )


def _said(about: bytes) -> tuple[str, dict[str, str]]:
    """The identity of an extractor and its numerics id, as texts for people."""
    try:
        value = parse_json(about, "about")
    except DamagedData:
        return "", {}
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], dict):
        return "", {}
    return str(value[0]), {name: str(of) for name, of in value[1].items()}
