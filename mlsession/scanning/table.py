"""What was measured of all images, by column: some 230 bytes an image beside its index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.data.index import ImageIndex
from mlsession.errors import InternalError
from mlsession.scanning.finding import TEST, TRAINING, ScannedImage
from mlsession.scanning.fingerprint import BITS
from mlsession.scanning.measure import Measured
from mlsession.session.phase import Array

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_COLUMNS = np.dtype(
    [
        ("digest", np.uint8, (32,)),
        ("readable", np.bool_),
        ("width", np.int32),
        ("height", np.int32),
        ("format", np.int16),
        ("orientation", np.uint8),
        ("dark_end", np.uint8),
        ("bright_end", np.uint8),
        ("contrast", np.float32),
        ("sharpness", np.float32),
        ("colour", np.float32),
        ("has_hash", np.bool_),
        ("hash", np.uint64),
        ("direction", np.float16, (BITS,)),
    ]
)
"""As `Measured` and `Look` name them; `format` is a place in `Table.formats`, -1 for what cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """The images of the training source, then those of the test source, with what was measured of each."""

    training: ImageIndex
    test: ImageIndex | None
    columns: Array
    """Of the type above [N], read-only."""
    formats: tuple[str, ...]
    reasons: dict[int, str]
    """By row: why it cannot be read."""

    @classmethod
    def of(cls, training: ImageIndex, test: ImageIndex | None, measured: Iterable[Measured]) -> Table:
        """Takes in what was measured, in order. Raises `InternalError` if it is not one of each image."""
        count = len(training) + (0 if test is None else len(test))
        columns = np.zeros(count, dtype=_COLUMNS)
        columns["format"] = -1
        formats: dict[str, int] = {}
        reasons: dict[int, str] = {}
        row = -1
        for row, one in enumerate(measured):
            if row >= count:
                break
            record = columns[row]
            record["digest"] = np.frombuffer(one.digest, dtype=np.uint8)
            if one.look is None:
                reasons[row] = one.reason
                continue
            look = one.look
            record["readable"] = True
            record["format"] = formats.setdefault(look.format, len(formats))
            for name in ("width", "height", "orientation", "dark_end", "bright_end"):
                record[name] = getattr(look, name)
            for name in ("contrast", "sharpness", "colour"):
                record[name] = getattr(look, name)
            if look.hash is not None and look.direction is not None:
                record["has_hash"], record["hash"], record["direction"] = True, look.hash, look.direction
        if row + 1 != count:
            raise InternalError(f"scan: {row + 1} images were measured in place of {count}")
        columns.setflags(write=False)
        return cls(training=training, test=test, columns=columns, formats=tuple(formats), reasons=reasons)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def readable(self) -> Mask:
        """bool [N]."""
        return np.asarray(self.columns["readable"])

    @property
    def in_test(self) -> Mask:
        """bool [N]: whether the image is one of the test source."""
        return np.arange(len(self)) >= len(self.training)

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of both sources, ascending."""
        return tuple(sorted({*self.training.classes, *(self.test.classes if self.test is not None else ())}))

    @property
    def label_places(self) -> Rows:
        """int64 [N]: the place of each image's label in `labels`."""
        place = {label: number for number, label in enumerate(self.labels)}
        parts = [np.array([place[name] for name in index.classes], dtype=np.int64)[index.labels]
                 for index in (self.training, self.test) if index is not None]  # fmt: skip
        return np.concatenate(parts)

    def counts(self, test: bool) -> dict[str, int]:
        """Images of a source that can be read, by its labels."""
        index = self.test if test else self.training
        assert index is not None
        chosen = index.labels[self.readable[self.in_test == test]]
        return dict(zip(index.classes, np.bincount(chosen, minlength=len(index.classes)).tolist(), strict=True))

    def image(self, row: int, detail: str = "") -> ScannedImage:
        """One image, for a finding."""
        index, source, place = self.training, TRAINING, row
        if row >= len(self.training):
            assert self.test is not None
            index, source, place = self.test, TEST, row - len(self.training)
        return ScannedImage(
            source=source, path=index.keys[place], label=index.classes[index.labels[place]], detail=detail
        )
