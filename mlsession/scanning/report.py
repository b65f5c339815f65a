"""What a scan has found, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter
from mlsession.export.write_file import write_atomically
from mlsession.scanning.finding import Finding, Kind, Severity
from mlsession.scanning.page import card_html, page_html
from mlsession.scanning.text import report_lines
from mlsession.scanning.thumbnails import thumbnails
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Images of one label in one source."""

    listed: int
    readable: int

    def to_json(self) -> dict[str, Json]:
        return {"listed": self.listed, "readable": self.readable}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """What `scan` gives back."""

    counts: Mapping[str, Mapping[str, Count]]
    """By source ("training", and "test" where there is one), then by label, ascending."""
    findings: tuple[Finding, ...]
    """The worst first."""
    ignored: int = 0
    """Files that are not taken for images, in all sources."""
    sources: Mapping[str, DataSource] = field(default_factory=dict, repr=False, compare=False)
    """Where the images are, by the same names: the page shows some of them."""

    @property
    def num_images(self) -> int:
        """Those of all sources, readable or not."""
        return sum(count.listed for labels in self.counts.values() for count in labels.values())

    def of_kind(self, kind: Kind | str) -> tuple[Finding, ...]:
        """The findings of one kind; raises `InvalidParameter` for one that does not exist."""
        if kind not in list(Kind):
            raise InvalidParameter("kind", kind, f"must be one of {', '.join(Kind)}")
        return tuple(finding for finding in self.findings if finding.kind == kind)

    def at_least(self, severity: Severity | str) -> tuple[Finding, ...]:
        """The findings that are as bad as this, or worse. Raises `InvalidParameter`."""
        severities = list(Severity)
        if severity not in severities:
            raise InvalidParameter("severity", severity, f"must be one of {', '.join(Severity)}")
        most = severities.index(Severity(severity))
        return tuple(finding for finding in self.findings if severities.index(finding.severity) <= most)

    def to_json(self) -> dict[str, Json]:
        """A JSON object with the images of every finding, all of them."""
        return {
            "counts": {
                source: {label: count.to_json() for label, count in labels.items()}
                for source, labels in self.counts.items()
            },
            "ignored": self.ignored,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def save_html(self, url: str | Path, storage_options: Mapping[str, object] | None = None) -> None:
        """Writes a page that stands alone, with small pictures, to a path or URL; atomically.

        The pictures are read anew; those that cannot be had are left out. Raises `StoreError`, `InvalidParameter`.
        """
        page = page_html(self, thumbnails(self.findings, self.sources))
        write_atomically(str(url), page.encode(), storage_options)

    def __str__(self) -> str:
        return "\n".join(report_lines(self))

    def _repr_html_(self) -> str:
        return card_html(self)
