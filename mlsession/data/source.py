"""Where labelled images come from: a place, and a rule that gives each image its label."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mlsession.data.contents import copies_of
from mlsession.data.corrections import Corrections, read_corrections
from mlsession.data.groups import Groups
from mlsession.data.index import ImageIndex
from mlsession.data.locations import folder_location, full_location
from mlsession.data.parts import check_proportions, part_of_images
from mlsession.data.reader import SourceReader
from mlsession.data.rows import COLUMNS
from mlsession.data.sources.dataset_rows import Dataset
from mlsession.data.sources.datasets import ByDataset
from mlsession.data.sources.directories import ByFolder
from mlsession.data.sources.file_names import ByName
from mlsession.data.sources.kinds import labeling_from_json
from mlsession.data.sources.listed import check_label, listed_files, located_files
from mlsession.data.sources.manifests import ByManifest, located_table
from mlsession.data.sources.place import Labeling, Place
from mlsession.errors import InvalidParameter
from mlsession.session.phase import Json
from mlsession.store import Store, is_local, join_url, parent_url, redact
from mlsession.store.reading import ReadPolicy


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DataSource:
    """Labelled images; made by one of six methods. docs/data.md has the rules.

        labeled_directories   animals/cat/1.jpg  animals/cat/more/2.PNG   the label is the first-level sub-folder
        labeled_files         animals/cat.1.jpg  animals/cat.2.jpg        the label is a part of the file's name
        files_by_label        {"cat": ["a/1.jpg", "b/2.jpg"]}             as the caller says
        manifest              a file with the columns path and label      as the file says
        table                 a data frame, or pairs of path and label    as the table says
        dataset               an object that gives image and label        as the object says

    Labels are taken exactly as they are found: no letters are folded or normalised, so two names that differ by one
    byte are two classes. In folders, hidden files and folders (names that begin with a dot, `SYSTEM_NAMES`) are left
    out, and so are files that are not named like an image; files that are named one by one are all taken.
    """

    url: str
    """The folder that keys are relative to: any location `open_store` takes. Shown and stored without credentials."""
    labeling: Labeling = field(default_factory=ByFolder)
    storage_options: Mapping[str, object] | None = field(default=None, compare=False)
    """For fsspec, to reach the store; never shown, never stored."""
    corrections: Corrections | None = None
    """What is to become of some images, whatever the rule says; see `corrected`."""

    @classmethod
    def labeled_directories(cls, url: str | Path, storage_options: Mapping[str, object] | None = None) -> DataSource:
        """The images below a folder that has one sub-folder per label; nothing is read yet.

        Any depth below a sub-folder belongs to its label. Left out are files beside the sub-folders. A local path is
        made absolute. Raises `InvalidParameter` for an empty URL.
        """
        return cls(url=folder_location(str(url)), storage_options=storage_options)

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
        return cls(url=folder_location(str(url)), labeling=rule, storage_options=storage_options)

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
        for label, paths in files.items():
            if isinstance(paths, str | Path):
                raise InvalidParameter("files", label, "has one path; give a list of paths for each label")
        named = [(full_location(str(path)), label) for label, paths in files.items() for path in paths]
        if not named:
            raise InvalidParameter("files", list(files), "names no images")
        for label in files:
            check_label(label)
        folder, rule = located_files(named)
        return cls(url=folder, labeling=rule, storage_options=storage_options)

    @classmethod
    def manifest(
        cls,
        url: str | Path,
        root: str | Path | None = None,
        storage_options: Mapping[str, object] | None = None,
        *,
        path: str = COLUMNS[0],
        label: str = COLUMNS[1],
        policy: ReadPolicy | None = None,
    ) -> DataSource:
        """Images that a CSV, TSV, JSON Lines or Parquet file names; see `data.rows` for its form.

        `path` and `label` are what its columns are called. Relative paths begin at the folder `root`, by default that
        of the manifest. All images lie in one store, the manifest perhaps in another; `storage_options` are for both.
        The file is read now, trying again as `policy` says, and again whenever the images are listed. Raises
        `UnusableData` with the line that is wrong, `InvalidParameter` and `StoreError`.
        """
        manifest = full_location(str(url))
        base = parent_url(manifest) if root is None else folder_location(str(root))
        rule = ByManifest(manifest=manifest, root=base, columns=(path, label))
        return cls(url=rule.folder(storage_options, policy), labeling=rule, storage_options=storage_options)

    @classmethod
    def table(
        cls,
        table: object,
        root: str | Path = ".",
        storage_options: Mapping[str, object] | None = None,
        *,
        path: str = COLUMNS[0],
        label: str = COLUMNS[1],
    ) -> DataSource:
        """Images that a table in memory names: a pandas, polars or Arrow table (anything that streams as Arrow), a
        mapping from names to columns, or (path, label) pairs.

        `path` and `label` are what its columns are called; relative paths begin at the folder `root`. It is read now,
        and the source is one like those of `files_by_label`. Raises `UnusableData` with the row that is wrong, and
        `InvalidParameter`.
        """
        folder, rule = located_table(table, folder_location(str(root)), (path, label))
        return cls(url=folder, labeling=rule, storage_options=storage_options)

    @classmethod
    def dataset(
        cls, dataset: Dataset, image: str = "image", label: str = "label", classes: Sequence[str] | None = None
    ) -> DataSource:
        """The rows of a dataset such as torchvision's and Hugging Face's: a length, and (image, label) by row, or a
        mapping that has them under the names `image` and `label`.

        Images are PIL images, arrays uint8 [H, W, 3] or [H, W] (upright RGB or grey), the bytes of a file, or its
        path; labels are text, or places in `classes`, by default the dataset's own class names. Labels are read now.
        Another process cannot open such a source: its session goes on when it is given the same dataset again, which
        is known by its length and labels. Raises `InvalidParameter`, and `UnusableData` with the row that is wrong.
        """
        rule = ByDataset.of(dataset, image, label, classes)
        return cls(url=rule.url, labeling=rule)

    def corrected(self, table: str | Path, policy: ReadPolicy | None = None) -> DataSource:
        """The same images with other labels, and without some, as a CSV file says; see `data.corrections`.

        `table` is a path, or a URL that the same `storage_options` reach. It is read now, trying again as `policy`
        says: editing it later changes nothing here. Raises `UnusableData` with the line that is wrong, `StoreError`,
        and `InvalidParameter` for a dataset in memory.
        """
        if isinstance(self.labeling, ByDataset):
            raise InvalidParameter("table", redact(str(table)), "corrects files; correct the labels in the dataset")
        return replace(self, corrections=read_corrections(str(table), self.storage_options, policy))

    def __repr__(self) -> str:
        return f"DataSource.{self.labeling.kind}({self.shown!r})"

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return redact(self.labeling.manifest if isinstance(self.labeling, ByManifest) else self.url)

    @property
    def takes_sub_folders(self) -> bool:
        """Whether any new sub-folder of `url` would be taken for a class."""
        return isinstance(self.labeling, ByFolder)

    def open(self) -> Store:
        """A store of the caller's own on the folder, bare; close it in the end. `reader` is for reading images.

        Raises `UnusableData` for a dataset that was in the memory of another process.
        """
        if isinstance(self.labeling, ByDataset):
            return self.labeling.store()
        return self._place().open()

    def reader(self, policy: ReadPolicy | None = None) -> SourceReader:
        """Reads images by key in any number of threads: close it in the end.

        A far source is tried again, as `policy` says. Opening it, which is done when it is first needed, raises what
        `open` raises.
        """
        policy = policy or ReadPolicy()
        clock = policy.clock if is_local(self.url) else None
        return SourceReader(policy.opener(self.url, self.open), clock, self.url)

    def index(self, *, min_classes: int = 2, policy: ReadPolicy | None = None) -> ImageIndex:
        """List the images. To train takes two classes; test data may have fewer. A far source is tried again, as
        `policy` says.

        Raises `UnusableData` for a folder that is missing, holds no images, a sub-folder without images, a listed file
        that is not there, or fewer than `min_classes` classes; `DividedData` where sub-folders are parts and no
        labels; `StoreError` when the store cannot be listed.
        """
        if self.corrections is None:
            return self.labeling.index(self._place(policy), min_classes)
        return self.corrections.apply(self.labeling.index(self._place(policy), 1), min_classes)

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
        self,
        proportions: Sequence[float],
        seed: int = 0,
        by: Literal["name", "content"] = "name",
        groups: Groups | None = None,
    ) -> list[DataSource]:
        """Parts that share no image, each with its proportion of every label:

            train, test = source.stratified_split([0.8, 0.2])

        Proportions lie in [0, 1]; if they sum to less than 1, the rest of the images is in no part, and to more they
        must not. Counts are rounded as `data.parts.part_counts` says. The same seed and keys give the same parts,
        in whatever order a store lists its files.

        `by="content"` also keeps files that are equal byte for byte in one part, and reads those of equal size to
        find them; by default nothing is read but the listing. `groups` keeps images together that belong together,
        such as those of one patient: a function of the key, a mapping from keys, or a regular expression with one
        group; see `data.groups` and `data.parts.part_of_groups`. A part is a source like one of `files_by_label`.
        Raises `InvalidParameter`, and what `index` raises.
        """
        check_proportions(proportions)
        if by not in ("name", "content"):
            raise InvalidParameter("by", by, "must be 'name' or 'content'")
        index = self.index(min_classes=1)
        copies = None
        if by == "content":
            with closing(self.reader()) as reader:
                copies = copies_of(index, reader.read)
        places = part_of_images(index, proportions, seed, groups, copies)
        return [self.part(index, (places == place).nonzero()[0].tolist()) for place in range(len(proportions))]

    def part(self, index: ImageIndex, rows: Sequence[int]) -> DataSource:
        """The source of some of its images, by rows of its index."""
        if isinstance(self.labeling, ByDataset):
            rule = self.labeling.rows(rows)
            return replace(self, url=rule.url, labeling=rule)
        labels = {index.keys[row]: index.classes[index.labels[row]] for row in rows}
        return replace(self, labeling=listed_files(labels), corrections=None)

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

    def _place(self, policy: ReadPolicy | None = None) -> Place:
        return Place(url=self.url, storage_options=self.storage_options, policy=policy or ReadPolicy())
