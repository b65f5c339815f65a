"""Where labelled images come from: files of one store, and a rule that gives each its label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mlsession.data.contents import copies_of
from mlsession.data.index import ImageIndex
from mlsession.data.labeling import (
    ByFolder,
    ByList,
    ByManifest,
    ByName,
    Labeling,
    folders_to_list,
    index_labeled_directories,
    index_labeled_files,
    index_listed_files,
    labeling_from_json,
    listed_files,
)
from mlsession.data.locations import common_folder, full_location, keys_below
from mlsession.data.manifest import manifest_folder, manifest_labels, read_manifest
from mlsession.data.names import is_hidden
from mlsession.data.parts import check_proportions, part_of_rows
from mlsession.data.reader import SourceReader
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.session.phase import Json
from mlsession.store import Entry, Store, is_local, join_url, local_path, open_store, parent_url, redact


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DataSource:
    """Labelled images in a folder of a store; made by one of four methods.

        labeled_directories   animals/cat/1.jpg  animals/cat/more/2.PNG   the label is the first-level sub-folder
        labeled_files         animals/cat.1.jpg  animals/cat.2.jpg        the label is a part of the file's name
        files_by_label        {"cat": ["a/1.jpg", "b/2.jpg"]}             as the caller says
        manifest              a CSV file with the columns path and label  as the file says

    Labels are taken exactly as they are found: no letters are folded or normalised, so two names that differ by one
    byte are two classes. In folders, hidden files and folders (names that begin with a dot, `SYSTEM_NAMES`) are left
    out, and so are files that are not named like an image; files that are named one by one are all taken.
    """

    url: str
    """The folder that keys are relative to: any location `open_store` takes. Shown and stored without credentials."""
    labeling: Labeling = field(default_factory=ByFolder)
    storage_options: Mapping[str, object] | None = field(default=None, compare=False)
    """For fsspec, to reach the store; never shown, never stored."""

    @classmethod
    def labeled_directories(cls, url: str | Path, storage_options: Mapping[str, object] | None = None) -> DataSource:
        """The images below a folder that has one sub-folder per label; nothing is read yet.

        Any depth below a sub-folder belongs to its label. Left out are files beside the sub-folders. A local path is
        made absolute. Raises `InvalidParameter` for an empty URL.
        """
        return cls(url=_folder_url(url), storage_options=storage_options)

    @classmethod
    def labeled_files(
        cls,
        url: str | Path,
        separator: str = ".",
        position: int = 0,
        storage_options: Mapping[str, object] | None = None,
    ) -> DataSource:
        """The images right in a folder, whose names hold the label: by default what stands before the first period.

            buffalo.1.jpg -> buffalo        with "-" and 1: fold1-foo-x.png -> foo

        See `ByName`. Left out are files in sub-folders, and those whose names are of another format. Nothing is read
        yet. Raises `InvalidParameter`.
        """
        rule = ByName(separator=separator, position=position)
        return cls(url=_folder_url(url), labeling=rule, storage_options=storage_options)

    @classmethod
    def files_by_label(
        cls,
        files: Mapping[str, Iterable[str | Path]],
        storage_options: Mapping[str, object] | None = None,
    ) -> DataSource:
        """Images named one by one: for each label its paths or URLs, all of them in one store; nothing is read yet.

        Keys are relative to the deepest folder that holds all files. Raises `InvalidParameter` for files of different
        stores, a file that is named twice, and a label that is no text.
        """
        if any(isinstance(paths, str | Path) for paths in files.values()):
            raise InvalidParameter("files", files, "must give a list of paths for each label")
        named = [(full_location(str(path)), label) for label, paths in files.items() for path in paths]
        if not named:
            raise InvalidParameter("files", files, "names no images")
        for label in files:
            _check_label(label)
        locations = [location for location, _ in named]
        folder = common_folder(locations)
        labels: dict[str, str] = {}
        for key, (location, label) in zip(keys_below(folder, locations), named, strict=True):
            assert key is not None
            if key in labels:
                what = "twice" if labels[key] == label else f"with two labels, {labels[key]!r} and {label!r}"
                raise InvalidParameter("files", redact(location), f"is named {what}; name each image once")
            labels[key] = label
        return cls(url=folder, labeling=listed_files(labels), storage_options=storage_options)

    @classmethod
    def manifest(
        cls,
        url: str | Path,
        root: str | Path | None = None,
        storage_options: Mapping[str, object] | None = None,
    ) -> DataSource:
        """Images that a CSV file with the columns `path` and `label` names; see `data.manifest` for its form.

        Relative paths begin at the folder `root`, by default that of the manifest. All images lie in one store, the
        manifest perhaps in another; `storage_options` are for both. The file is read now, and again whenever the
        images are listed. Raises `UnusableData` with the line that is wrong, `InvalidParameter` and `StoreError`.
        """
        manifest = full_location(str(url))
        base = parent_url(manifest) if root is None else _folder_url(root)
        rows = read_manifest(manifest, storage_options)
        rule = ByManifest(manifest=manifest, root=base)
        folder = manifest_folder(rows, base, redact(manifest))
        manifest_labels(rows, base, folder, redact(manifest))
        return cls(url=folder, labeling=rule, storage_options=storage_options)

    def __repr__(self) -> str:
        return f"DataSource.{self.labeling.kind}({self._shown!r})"

    @property
    def _shown(self) -> str:
        """What it is called in messages."""
        return redact(self.labeling.manifest if isinstance(self.labeling, ByManifest) else self.url)

    @property
    def takes_sub_folders(self) -> bool:
        """Whether any new sub-folder of `url` would be taken for a class."""
        return isinstance(self.labeling, ByFolder)

    def open(self) -> Store:
        """A store of the caller's own on the folder, to read images by key; close it in the end."""
        return open_store(self.url, self.storage_options)

    def index(self, *, min_classes: int = 2) -> ImageIndex:
        """List the images. To train takes two classes; test data may have fewer.

        Raises `UnusableData` for a folder that is missing, holds no images, a sub-folder without images, a listed file
        that is not there, or fewer than `min_classes` classes; `StoreError` when the store cannot be listed.
        """
        match self.labeling:
            case ByFolder():
                folders = local_class_folders(Path(self.url)) if is_local(self.url) else ()
                return index_labeled_directories(self._entries([""]), folders, self._shown, min_classes)
            case ByName() as rule:
                if is_local(self.url):
                    _check_local_folder(Path(self.url), "give the folder that holds the images")
                return index_labeled_files(self._entries([""]), rule, self._shown, min_classes)
            case ByList() | ByManifest():
                labels = self._listed_labels()
                return index_listed_files(self._entries(folders_to_list(labels)), labels, self._shown, min_classes)

    def labeled_images(self) -> dict[str, list[str]]:
        """The images of each label as paths or URLs, in order: what labelling gives, with no image read.

        URLs are such as the source was given, credentials included. Raises what `index` raises.
        """
        index = self.index(min_classes=1)
        images: dict[str, list[str]] = {label: [] for label in index.classes}
        for key, label in zip(index.keys, index.labels.tolist(), strict=True):
            images[index.classes[label]].append(join_url(self.url, key))
        return images

    def stratified_split(
        self, proportions: Sequence[float], seed: int = 0, by: Literal["name", "content"] = "name"
    ) -> list[DataSource]:
        """Parts that share no image, each with its proportion of every label:

            train, test = source.stratified_split([0.8, 0.2])

        Proportions lie in [0, 1]; if they sum to less than 1, the rest of the images is in no part, and to more they
        must not. Counts are rounded as `data.parts.part_counts` says. The same seed and keys give the same parts,
        in whatever order a store lists its files.

        `by="content"` also keeps files that are equal byte for byte in one part, and reads those of equal size to
        find them; by default nothing is read but the listing. A part is a source like one of `files_by_label`. Raises
        `InvalidParameter`, and what `index` raises.
        """
        check_proportions(proportions)
        if by not in ("name", "content"):
            raise InvalidParameter("by", by, "must be 'name' or 'content'")
        index = self.index(min_classes=1)
        copies = None
        if by == "content":
            with closing(SourceReader(self.open)) as reader:
                copies = copies_of(index, reader.read)
        places = part_of_rows(index, proportions, seed, copies=copies)
        return [self.part(index, (places == place).nonzero()[0].tolist()) for place in range(len(proportions))]

    def part(self, index: ImageIndex, rows: Sequence[int]) -> DataSource:
        """The source of some of its images, by rows of its index."""
        return replace(self, labeling=listed_files({index.keys[row]: index.classes[index.labels[row]] for row in rows}))

    def to_json(self) -> dict[str, Json]:
        """The stored form: kind and URLs, without credentials. A list of files is left to the session's index."""
        if isinstance(self.labeling, ByManifest):
            return {"kind": self.labeling.kind, "folder": redact(self.url), **self.labeling.to_json()}
        return {"kind": self.labeling.kind, "url": redact(self.url), **self.labeling.to_json()}

    @classmethod
    def from_json(
        cls,
        data: Mapping[str, Json],
        storage_options: Mapping[str, object] | None = None,
        index: Callable[[], ImageIndex] | None = None,
    ) -> DataSource:
        """Read `to_json` back; what reaches the store has to be given again.

        `index` gives the images as they were listed, for a source whose files were named one by one; without it such
        a source can be shown, not listed. Raises `InvalidParameter`.
        """
        url = data.get("folder" if data.get("kind") == ByManifest.kind else "url")
        if not isinstance(url, str):
            raise InvalidParameter("url", url, "a data source needs a URL")
        return cls(url=url, labeling=labeling_from_json(data, index), storage_options=storage_options)

    def _entries(self, folders: Iterable[str]) -> Iterable[Entry]:
        with closing(self.open()) as store:
            for folder in folders:
                yield from store.list(folder)

    def _listed_labels(self) -> Mapping[str, str]:
        """Label by key."""
        if isinstance(self.labeling, ByManifest):
            rows = read_manifest(self.labeling.manifest, self.storage_options)
            return manifest_labels(rows, self.labeling.root, self.url, self._shown)
        if not isinstance(self.labeling, ByList) or self.labeling.files is None:
            raise UnusableData(self._shown, "its files are listed in the session alone; name them again")
        return dict(self.labeling.files)


def local_class_folders(root: Path) -> tuple[str, ...]:
    """The first-level sub-folders of a local folder that count as classes, also those that hold nothing.

    Raises `UnusableData` when there is no such folder.
    """
    _check_local_folder(root, "give the folder that holds one folder per label")
    return tuple(sorted(item.name for item in root.iterdir() if item.is_dir() and not is_hidden(item.name)))


def _check_local_folder(root: Path, cure: str) -> None:
    if not root.exists():
        raise UnusableData(str(root), "there is no such folder; check the path")
    if not root.is_dir():
        raise UnusableData(str(root), f"this is a file, not a folder; {cure}, or a manifest that ends in .csv")


def _folder_url(url: str | Path) -> str:
    location = str(url)
    if not location:
        raise InvalidParameter("url", location, 'is empty; write "." for the current folder')
    try:
        location.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter("url", location, "is not valid Unicode; rename the folder") from error
    return local_path(location) if is_local(location) else location


def _check_label(label: object) -> None:
    if not isinstance(label, str) or not label.strip() or "\0" in label:
        raise InvalidParameter("files", label, "is no label; a label is text that is not blank")
    try:
        label.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter("files", label, "is a label that is not valid Unicode") from error
