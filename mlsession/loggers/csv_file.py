"""CSV files that an attempt continues: Lightning's own writer deletes those of the attempt before."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from mlsession.loggers.held import is_of_phase

STEP = "step"


class KeptRows(ExperimentWriter):
    """In the place of a `CSVLogger`'s writer: the same files, with the rows of earlier attempts.

    Lines are appended, and only whole files replace files, so that a kill at any time loses no row that was there;
    half a line at the end is one that was never written.
    """

    def __init__(self, log_dir: str) -> None:
        # Not that of the base class, which deletes the file.
        Path(log_dir).mkdir(parents=True, exist_ok=True)
        self.log_dir = log_dir
        self.metrics_file_path = str(Path(log_dir) / self.NAME_METRICS_FILE)
        self.hparams = {}
        self.metrics = []
        self.metrics_keys, self._rows = _read(Path(self.metrics_file_path))
        self._figures = _figures(self._rows)

    def has(self, name: str, step: int, value: float) -> bool:
        """Whether a row of this step has this figure."""
        return _same(self._figures.get((name, str(step)), ""), value)

    def add(self, name: str, step: int, value: float) -> None:
        """Saving a row has added it."""

    def rewind(self, phase: str, iteration: int) -> None:
        """Drops the rows of later iterations of a phase: they are done again."""
        kept = [row for row in self._rows if not (_step(row) > iteration and _is_of(row, phase))]
        if len(kept) < len(self._rows):
            self._rows, self._figures = kept, _figures(kept)
            self._replace()

    def save(self) -> None:
        """Writes the rows that are new."""
        if not self.metrics:
            return
        new = [{name: str(value) for name, value in row.items()} for row in self.metrics]
        self._rows += new
        self._figures |= _figures(new)
        columns = sorted({*self.metrics_keys, *(name for row in new for name in row)})
        if columns != self.metrics_keys or not Path(self.metrics_file_path).exists():
            self.metrics_keys = columns
            self._replace()
        else:
            with Path(self.metrics_file_path).open("a", encoding="utf-8", newline="") as file:
                file.write(_lines(self.metrics_keys, new, header=False))
        self.metrics = []

    def _replace(self) -> None:
        path = Path(self.metrics_file_path)
        beside = path.with_name(f"{path.name}.new")
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.write(_lines(self.metrics_keys, self._rows, header=True))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)


def keep_rows(logger: CSVLogger) -> KeptRows:
    """Lets a logger that has logged nothing yet go on in the file of its folder."""
    rows = KeptRows(logger.log_dir)
    logger._experiment = rows
    return rows


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and the rows of a file, empty cells left out; a last line that a kill cut short is none."""
    if not path.exists():
        return [], []
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    whole = text[: text.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(whole, newline=""))
    rows = [{name: value for name, value in row.items() if name and value} for row in reader]
    columns = list(reader.fieldnames or [])
    if whole != text:
        with path.open("r+", encoding="utf-8", newline="") as file:
            file.truncate(len(whole.encode()))
    return columns, rows


def _lines(columns: Sequence[str], rows: Sequence[Mapping[str, str]], *, header: bool) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _figures(rows: Sequence[Mapping[str, str]]) -> dict[tuple[str, str], str]:
    """By name and step."""
    return {(name, row.get(STEP, "")): value for row in rows for name, value in row.items()}


def _same(text: str, value: float) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return number == value or (math.isnan(number) and math.isnan(value))


def _step(row: Mapping[str, str]) -> float:
    try:
        return float(row.get(STEP, "nan"))
    except ValueError:
        return math.nan


def _is_of(row: Mapping[str, str], phase: str) -> bool:
    return any(is_of_phase(name, phase) for name in row)
