"""Where the images of a source are, and the seam to the rules that label them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from mlsession.data.index import ImageIndex
from mlsession.errors import UnusableData
from mlsession.session.phase import Json
from mlsession.store import Entry, Store, is_local, open_store, redact
from mlsession.store.reading import ReadPolicy

Options = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder of a store."""

    url: str
    storage_options: Options | None = field(default=None, repr=False)
    """For fsspec, to reach the store; never shown, never stored."""
    policy: ReadPolicy = field(default_factory=ReadPolicy, repr=False, compare=False)
    """What its listing bears with."""

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return redact(self.url)

    def open(self) -> Store:
        """A store of the caller's own; close it in the end."""
        return open_store(self.url, self.storage_options)

    def entries(self, folders: Iterable[str] = ("",)) -> Iterator[Entry]:
        """All files below some of its folders; of a bucket a part at a time, each tried again as the policy says."""
        # What is tried again has to be gathered where it does not come in parts: a disk needs neither.
        opened = self.open if is_local(self.url) else self.policy.opener(self.url, self.open)
        with closing(opened()) as store:
            for folder in folders:
                yield from store.list(folder)


class Labeling(Protocol):
    """How images come by their labels: a value, stored with the session.

    What a rule makes of the same files never depends on the order in which a store lists them.
    """

    kind: ClassVar[str]
    """Names the rule, in what is stored and as the method of `DataSource` that makes it."""

    def index(self, place: Place, min_classes: int) -> ImageIndex:
        """Lists the images. Raises `UnusableData` and `StoreError`; see `DataSource.index`."""
        ...

    def to_json(self) -> dict[str, Json]:
        """The stored form, without credentials; `data.sources.kinds` reads it back."""
        ...


ReadIndex = Callable[[], ImageIndex]
"""Gives the images of a source as its session recorded them."""


def check_local_folder(root: Path, cure: str) -> None:
    """Raises `UnusableData` where there is no such folder."""
    if not root.exists():
        raise UnusableData(str(root), "there is no such folder; check the path")
    if not root.is_dir():
        kind = root.suffix.lower().removeprefix(".")
        other = f"{kind}://::{root}" if kind in ("zip", "tar") else "a manifest (.csv, .tsv, .jsonl, .parquet)"
        raise UnusableData(str(root), f"this is a file, not a folder; {cure}, or {other}")
