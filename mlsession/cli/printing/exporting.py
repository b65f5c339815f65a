"""What `--export` and `mlsession export` write: files, and folders with a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from mlsession.cli.printing.report import export_line
from mlsession.cli.printing.smaller import Smaller
from mlsession.cli.printing.text import plain
from mlsession.errors import InvalidParameter
from mlsession.export.plugins import offered_suffixes
from mlsession.export.protocol import export_suffix
from mlsession.export.requirements import load_deaf
from mlsession.export.write import check_destination
from mlsession.store.location import join_url, redact
from mlsession.training.models.model_folder import check_folder, is_folder, suffixes_of

if TYPE_CHECKING:
    from mlsession.export.metadata import ModelMetadata
    from mlsession.training.classifier import Classifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """The targets, as typed."""

    paths: Sequence[str]
    formats: Sequence[str] = ()
    """Of a folder."""
    smaller: Smaller = field(default_factory=Smaller)
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    """fsspec's."""

    def check(self) -> None:
        """Refuse before any work what could not be written; see `check_destination` and `check_folder`."""
        if not self.paths:
            self._check_nothing()
            return
        suffixes = suffixes_of(self.formats)
        for path in self.paths:
            if is_folder(path):
                check_folder(path, suffixes, self.options)
                self.smaller.check_folder(suffixes)
            else:
                check_destination(path, self.options)
                self.smaller.check(path)
        folders = [path for path in self.paths if is_folder(path)]
        if self.formats and not folders:
            reason = "is of a folder with a card: name one, ending with a slash; other paths end in their format"
            raise InvalidParameter("format", ", ".join(self.formats), reason)

    def _check_nothing(self) -> None:
        """Raises `InvalidParameter` for what is said of an export that there is not."""
        said = (
            ("compress", self.smaller.compress),
            ("max_changed", self.smaller.max_changed),
            ("format", self.formats),
        )
        for name, value in said:
            if value not in (None, (), []):
                shown = ", ".join(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
                raise InvalidParameter(name, shown, "is of an exported model: add --export PATH, or leave it out")

    def load(self, path: str) -> None:
        """Imports what is deaf to signals of what `write` needs; see `load_deaf`."""
        for suffix in suffixes_of(self.formats) if is_folder(path) else (export_suffix(path, offered_suffixes),):
            load_deaf(suffix)

    def write(self, classifier: Classifier, path: str, metadata: ModelMetadata) -> tuple[list[str], dict[str, object]]:
        """Writes one of the paths; what came of it as lines, and as JSON."""
        if is_folder(path):
            folder = classifier.write_folder(
                path,
                metadata,
                self.formats,
                self.options,
                compress=self.smaller.compress,
                max_changed=self.smaller.max_changed,
            )
            lines = [export_line(join_url(path, report.path), report) for report in folder.reports]
            return [*lines, f"card: {plain(redact(join_url(path, folder.files[-1])))}"], asdict(folder)
        report = classifier.write(
            path, metadata, self.options, compress=self.smaller.compress, max_changed=self.smaller.max_changed
        )
        return [export_line(path, report)], asdict(report)
