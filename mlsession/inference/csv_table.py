"""The table of predictions as CSV.

UTF-8, lines end in a line feed; fields with a comma, a quote or a line break stand in double quotes, with quotes
inside doubled (RFC 4180 in all but the line ends). What is missing is an empty field. Confidences have the fewest
digits that give the same double back.

A spreadsheet takes a field that begins with one of some signs for a formula, and whoever names the images would
have it run what he likes. So such a path begins with "./" (`plain_path`). Labels are the model's and reasons our own:
they stand as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlsession.data.names import plain_path
from mlsession.inference.table import Block, column_names


class CsvWriter:
    """Writes the table to a local file."""

    def __init__(self, path: Path, classes: Sequence[str], top: int) -> None:
        self._labels = [_quoted(label) for label in classes]
        self._missing = "," * (2 * top)
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.write(",".join(column_names(top)) + "\n")

    def write(self, block: Block) -> None:
        """See `TableWriter`."""
        lines: list[str] = []
        columns = zip(block.paths, block.top.tolist(), block.confidence.tolist(), block.reasons, strict=True)
        for path, top, confidences, reason in columns:
            if reason:
                lines.append(f"{_quoted(plain_path(path))}{self._missing},{_quoted(reason)}\n")
            else:
                pairs = zip(top, confidences, strict=True)
                said = ",".join(f"{self._labels[place]},{confidence!r}" for place, confidence in pairs)
                lines.append(f"{_quoted(plain_path(path))},{said},\n")
        self._file.write("".join(lines))

    def close(self) -> None:
        """See `TableWriter`."""
        self._file.close()


def _quoted(field: str) -> str:
    doubled = field.replace('"', '""')
    return f'"{doubled}"' if any(mark in field for mark in ',"\r\n') else field
