"""A review of a session's images, and its file: a table that a person edits, and `train --labels` takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mlsession.data.corrections import KEEP, REMOVE, correction_table
from mlsession.errors import InvalidParameter, KeyMissing
from mlsession.reviewing.findings import Finding, Reason
from mlsession.session.phase import Json
from mlsession.store import check_written_key, open_store, parent_url, redact, url_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewReport:
    """What a person should look at among the images of a session; `write` makes a file of it to edit."""

    url: str
    """The session."""
    findings: tuple[Finding, ...]
    """By reason, in the order of `Reason`; the surest first."""
    images: Mapping[str, int]
    """How many were looked at, by source: "training", "validation" (images of their own), "test"."""
    accuracy: float | None
    """Of heads on training images that they have not seen; None where no class could be judged."""
    unjudged: tuple[str, ...] = ()
    """Classes whose labels could not be judged: all of their images look alike, or there is one alone."""
    similarity: float
    """The least similarity of two images that look the same."""
    skipped: tuple[tuple[str, str], ...] = ()
    """(path, reason) of test images that cannot be read."""
    training: tuple[str, ...] = ()
    """Words of the command line that trains the session, once a table of all findings is added as its `--labels`; ()
    where there are none that somebody could type."""

    @property
    def counts(self) -> dict[str, int]:
        """Findings by reason, all of them, in order."""
        counted = Counter(finding.reason for finding in self.findings)
        return {reason.value: counted[reason] for reason in Reason}

    def table(self) -> bytes:
        """The CSV of all findings, a line each; as it is it changes nothing but what the session has corrected."""
        return correction_table(
            (
                *(finding.path, finding.label, KEEP if finding.label else REMOVE, finding.suggested),
                *(f"{finding.confidence:.4g}", finding.reason.value, finding.other, finding.other_source),
                finding.label if finding.given is None else finding.given,
            )
            for finding in self.findings
        )

    def write(self, url: str | Path, storage_options: Mapping[str, object] | None = None) -> None:
        """Writes the table, atomically, to a path or URL that ends in `.csv`.

        A file that is there stays as it is, since somebody may have edited it: raises `InvalidParameter` unless it
        holds the same, and for another ending; and `StoreError`.
        """
        place, data = check_output(url), self.table()
        with closing(open_store(parent_url(place), storage_options)) as store:
            try:
                there = store.get_range(url_name(place), 0, len(data) + 1)
            except KeyMissing:
                store.put(url_name(place), data)
                return
        if there != data:
            reason = "is there, and somebody may have edited it; choose another name, or remove it first"
            raise InvalidParameter("output", redact(place), reason)

    def to_json(self) -> dict[str, Json]:
        """A JSON object with the same members, and `counts`."""
        return {
            "url": self.url,
            "images": dict(self.images),
            "accuracy": self.accuracy,
            "unjudged": list(self.unjudged),
            "similarity": self.similarity,
            "counts": dict(self.counts),
            "findings": [finding.to_json() for finding in self.findings],
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
        }

    def __repr__(self) -> str:
        counted = ", ".join(f"{count} {reason}" for reason, count in self.counts.items() if count)
        return f"<ReviewReport of {sum(self.images.values())} images: {counted or 'nothing found'}>"


def check_output(url: str | Path) -> str:
    """Where a table may go, as text. Raises `InvalidParameter` for a name that no store can hold, or another ending."""
    place = str(url)
    if not url_name(place).lower().endswith(".csv"):
        raise InvalidParameter("output", redact(place), "must end in .csv")
    check_written_key(url_name(place))
    return place
