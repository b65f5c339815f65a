"""A source divided into named parts, such as train and test, and written to a folder: as copies or as manifests.

    copies      <output>/train/<label>/...  <output>/test/<label>/...     read back as labelled directories
    manifests   <output>/train.csv          <output>/test.csv             nothing is copied

Nothing is ever moved or overwritten, and what is there already and the same is left, so that the same work again
completes what was broken off. Every copy is read back and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from mlsession.data.ahead import worked_ahead
from mlsession.data.contents import copies_of
from mlsession.data.groups import Groups
from mlsession.data.index import ImageIndex
from mlsession.data.locations import full_location
from mlsession.data.manifest import manifest_bytes, manifest_path
from mlsession.data.names import is_hidden_key, is_image_name
from mlsession.data.parts import part_of_images
from mlsession.data.reader import StoreHandles
from mlsession.data.source import DataSource
from mlsession.data.sources.directories import index_labeled_directories
from mlsession.errors import InvalidParameter, KeyExists, StoreError, UnusableData
from mlsession.session.phase import Array
from mlsession.store import Entry, Store, check_written_key
from mlsession.store.buckets.remote import MAX_CREATE_BYTES
from mlsession.store.reading import ReadPolicy

PARTS = ("train", "validation", "test")
"""What parts may be called; `train` has images of every label."""

Open = Callable[[], Store]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Division:
    """Which image of a source goes to which part."""

    source: DataSource
    index: ImageIndex
    parts: tuple[str, ...]
    """Some of `PARTS`, in order."""
    places: Array
    """int64 [N]: each row's place in `parts`; no row is in none."""

    @property
    def counts(self) -> Array:
        """int64 [K, P]: images of each class in each part."""
        counts = np.zeros((len(self.index.classes), len(self.parts)), dtype=np.int64)
        np.add.at(counts, (self.index.labels, self.places), 1)
        return counts


def divide(
    source: DataSource,
    shares: Mapping[str, float],
    seed: int,
    policy: ReadPolicy,
    groups: Groups | None = None,
) -> Division:
    """Divides a source: `shares` gives the share of each part but `train`, which takes the rest.

    Files that are equal byte for byte stay in one part, and so do those of one of the `groups`; see `part_of_images`.
    Raises `InvalidParameter`, `UnusableData` and `StoreError`.
    """
    for name, share in shares.items():
        if not 0 < share < 1:
            raise InvalidParameter(name, share, "must lie between 0 and 1")
    rest = 1 - sum(shares.values())
    if rest < 1e-9:
        raise InvalidParameter("test", shares.get("test"), "must leave some images to train on; take smaller shares")
    parts = tuple(name for name in PARTS if name == "train" or name in shares)
    proportions = [shares.get(name, rest) for name in parts]
    index = source.index(min_classes=1, policy=policy)
    with closing(source.reader(policy)) as reader:
        copies = copies_of(index, reader.read)
    places = part_of_images(index, proportions, seed, groups, copies, fullest=parts.index("train"))
    return Division(source=source, index=index, parts=parts, places=places)


def copied_files(division: Division, policy: ReadPolicy, open_output: Open) -> Iterator[bool]:
    """Copies the images, several at a time; True for each that was copied now, False for one that was there.

    Raises, before anything is written, `UnusableData` for names that cannot be in such folders, and for an output
    that holds other files in the folders of the parts; `StoreError`.
    """
    keys = [
        f"{division.parts[place]}/{key}"
        for place, key in zip(division.places.tolist(), folder_keys(division.index), strict=True)
    ]
    planned = dict(zip(keys, division.index.sizes.tolist(), strict=True))
    with closing(open_output()) as store:
        _check_output(store.url, list(_entries(store)), planned)
    with closing(division.source.reader(policy)) as reader, closing(StoreHandles(open_output)) as output:

        def copy(pair: tuple[str, str]) -> bool:
            return _created(output.here(), pair[1], reader.read(pair[0]))

        yield from worked_ahead(copy, list(zip(division.index.keys, keys, strict=True)))
        _check_complete(output.here(), division, keys)


def write_manifests(division: Division, output_url: str, open_output: Open) -> list[str]:
    """Writes `train.csv` and so on; their keys.

    Paths are relative where the images lie below the output, full ones elsewhere. Raises `UnusableData` where another
    file is there, and `StoreError`.
    """
    index, names = division.index, [f"{part}.csv" for part in division.parts]
    labels = [index.classes[label] for label in index.labels.tolist()]
    folder, output = full_location(division.source.url), full_location(output_url)
    paths = [manifest_path(folder, key, output) for key in index.keys]
    with closing(open_output()) as store:
        for place, name in enumerate(names):
            rows = np.flatnonzero(division.places == place).tolist()
            _created(store, name, manifest_bytes((paths[row], labels[row]) for row in rows))
    return names


def folder_keys(index: ImageIndex) -> list[str]:
    """Where each image goes in a folder with one sub-folder per label: pure, and no two to one place.

    Below its label's folder each keeps its key, without the label if all keys begin with theirs. Raises
    `UnusableData` for one that could not be there, or would not be found there.
    """
    labels = [index.classes[label] for label in index.labels.tolist()]
    pairs = list(zip(labels, index.keys, strict=True))
    are_below = all(key.startswith(f"{label}/") for label, key in pairs)
    keys = [key if are_below else f"{label}/{key}" for label, key in pairs]
    for (label, key), target in zip(pairs, keys, strict=True):
        reason = "its label holds a slash" if "/" in label else _why_not_found(target)
        if reason:
            raise UnusableData(
                key, f"cannot be copied into a folder named {label!r}: {reason}; rename it, or write --manifest files"
            )
    return keys


def _why_not_found(key: str) -> str:
    """Why a key cannot be that of an image in labelled directories, or nothing."""
    if is_hidden_key(key):
        return "hidden files and folders are left out"
    if not is_image_name(key.rpartition("/")[2]):
        return "it is not named like an image"
    try:
        check_written_key(key)
    except InvalidParameter as error:
        return error.reason
    return ""


def _entries(store: Store) -> Iterator[Entry]:
    for part in PARTS:
        yield from store.list(part)


def _check_output(url: str, found: Iterable[Entry], planned: Mapping[str, int]) -> None:
    """Raises `UnusableData` where parts hold what is not to be in them; `planned` is the size by key."""
    for entry in sorted(found, key=lambda entry: entry.key):
        if planned.get(entry.key) != entry.size and not is_hidden_key(entry.key):
            what = "has other contents" if entry.key in planned else "is not of this split"
            raise UnusableData(url, f"{entry.key} {what}; nothing was copied: choose another --output, or remove it")


def _check_complete(store: Store, division: Division, keys: Sequence[str]) -> None:
    """Raises `StoreError` unless the parts, listed as they will be listed for training, are what was planned."""
    labels = [division.index.classes[label] for label in division.index.labels.tolist()]
    for place, part in enumerate(division.parts):
        planned = {
            key.removeprefix(f"{part}/"): labels[row] for row, key in enumerate(keys) if division.places[row] == place
        }
        if not planned:
            continue
        entries = (
            Entry(key=entry.key.removeprefix(f"{part}/"), size=entry.size, version="") for entry in store.list(part)
        )
        found = index_labeled_directories(entries, (), f"{store.url}/{part}", min_classes=1)
        listed = {key: found.classes[label] for key, label in zip(found.keys, found.labels.tolist(), strict=True)}
        if listed != planned:
            name = min(set(listed.items()) ^ set(planned.items()))[0]
            raise StoreError(
                f"{store.url}: {part}/{name} is not listed as it was copied; does the disk tell cases apart?", name
            )


def _created(store: Store, key: str, data: bytes) -> bool:
    """Creates a key and reads it back; False if the same bytes were there already.

    Raises `UnusableData` for other bytes.
    """
    is_new = True
    try:
        if len(data) <= MAX_CREATE_BYTES:
            store.put_if_absent(key, data)
        elif any(entry.key == key for entry in store.list(key.rpartition("/")[0])):
            is_new = False
        else:
            store.put(key, data)  # Too large to be created in one request; whole all the same.
    except KeyExists:
        is_new = False
    if store.get(key) != data:
        if is_new:
            raise StoreError(f"{store.url}: {key} was not stored as it was sent; run the same command again", key)
        raise UnusableData(store.url, f"{key} has other contents; choose another --output, or remove it")
    return is_new
