"""What a training says of its images: before it reads any what their labels and numbers tell, then which are copies."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsession.data.index import ImageIndex
from mlsession.events import FindingMade
from mlsession.scanning.copies import held_out_copies
from mlsession.scanning.finding import TRAINING, Finding, Kind, ScannedImage, Severity, in_order, number_of
from mlsession.scanning.labels import label_findings
from mlsession.session.log.blobs import as_written
from mlsession.session.opening import Emit
from mlsession.session.phase import Array
from mlsession.training.request import Indexes


def brief_findings(training: ImageIndex, test: ImageIndex | None) -> tuple[Finding, ...]:
    """The findings of a scan that need no picture, the worst first; pure. `mlsession scan` looks at the pictures."""
    return in_order(label_findings(_counts(training), None if test is None else _counts(test)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Corpus:
    """The images of the training source, then those of a validation source."""

    training: ImageIndex
    validation: ImageIndex | None

    @property
    def in_test(self) -> npt.NDArray[np.bool_]:
        num_others = 0 if self.validation is None else len(self.validation)
        return np.repeat([False, True], [len(self.training), num_others])

    @property
    def label_places(self) -> npt.NDArray[np.int64]:
        places = [self.training.labels.astype(np.int64)]
        if self.validation is not None:
            known = {name: place for place, name in enumerate(self.training.classes)}
            others = np.array([known[name] for name in self.validation.classes], dtype=np.int64)
            places.append(others[self.validation.labels])
        return np.concatenate(places)

    def image(self, row: int) -> ScannedImage:
        first = len(self.training)
        if row < first or self.validation is None:
            index, source = self.training, TRAINING
        else:
            index, source, row = self.validation, "validation", row - first
        return ScannedImage(source=source, path=index.keys[row], label=index.classes[index.labels[row]])


def copied_findings(copies: Array, training: ImageIndex, validation: ImageIndex | None) -> list[Finding]:
    """What extracting has found of equal files: `copies` is of its state, int64 [M, 2]. Raises `DamagedData`."""
    groups: defaultdict[int, list[int]] = defaultdict(list)
    count = len(training) + (0 if validation is None else len(validation))
    with as_written("state of extracting"):
        if copies.dtype != np.int64 or copies.shape[1:] != (2,) or (copies < 0).any() or (copies >= count).any():
            raise ValueError("its copies are not pairs of images")
    for row, first in copies.tolist():
        groups[first].append(row)
    rows = [np.array([first, *others], dtype=np.int64) for first, others in sorted(groups.items())]
    return held_out_copies(_Corpus(training=training, validation=validation), rows)


def leaked_finding(count: int) -> Finding:
    """That so many test images, which have been evaluated, are trained on; `mlsession scan` names them."""
    return Finding(
        kind=Kind.LEAKED_IMAGES,
        severity=Severity.ERROR,
        sentence=f"{number_of(count, 'test image')} {'is' if count == 1 else 'are'} trained on, too, byte for byte: "
        "the test says more of them than of pictures to come",
        cure="remove them from the training images, or from the test images; `mlsession scan` and `review` name them",
    )


def tell_findings(images: Indexes, emit: Emit) -> None:
    """Says them, one event each."""
    for finding in brief_findings(images.training, images.test):
        said = FindingMade(
            kind=finding.kind.value, severity=finding.severity.value, sentence=finding.sentence, cure=finding.cure
        )
        emit(said)


def _counts(index: ImageIndex) -> dict[str, int]:
    return dict(zip(index.classes, index.class_counts.tolist(), strict=True))
