"""Exports in fewer bits: the whole export is proved as ever, then the smaller one is measured against the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from mlsession.clock import Clock, SystemClock
from mlsession.errors import InternalError, InvalidParameter
from mlsession.export.compression import METHODS, TOLERANCES, Compression, CompressionLoss
from mlsession.export.coreml import CoreMLExporter
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.mlpackage import MLPackageExporter
from mlsession.export.protocol import ExportableModel, Exporter, Images
from mlsession.export.report import ExportReport
from mlsession.export.verify import Answers, network_answers, verify_export

MOST_PROVED = 15
"""On so many pictures, from the first, the whole export is proved; more would prove no more and take as long again."""


@dataclass(frozen=True, slots=True, eq=False)
class CompressedEncoded(Encoded):
    """An export in fewer bits, and the one that it was made from."""

    whole: Encoded


class CoreMLFormat(Exporter[ExportableModel], Protocol):
    """One of the two Core ML exporters."""

    def answers(self, encoded: Encoded, images: Images) -> tuple[int, Answers]:
        """The version of the specification that an export asks for, and what it says of pictures."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedExporter:
    """`Exporter` for a Core ML format in fewer bits."""

    whole: CoreMLFormat
    smaller: CoreMLFormat
    compression: Compression
    photo_labels: Sequence[str | None] = ()
    """Of the last pictures that it is given, which are photos: their true labels, where these are known."""
    clock: Clock = field(default_factory=SystemClock)

    @property
    def suffix(self) -> str:
        return self.whole.suffix

    def encode(self, model: ExportableModel, metadata: ModelMetadata) -> Encoded:
        """Both exports; the smaller one is what is written."""
        smaller = self.smaller.encode(model, metadata)
        return CompressedEncoded(files=smaller.files, whole=self.whole.encode(model, metadata))

    def verify(self, path: str, encoded: Encoded, model: ExportableModel, images: Images) -> ExportReport:
        """Prove the whole export, run the smaller one's bytes, and say what it lost.

        Raises `InternalError` as `verify_export` does, and `InvalidParameter` where a probability differs by more than
        the method's tolerance, or more pictures get another label than may.
        """
        if not isinstance(encoded, CompressedEncoded):
            raise InternalError("a compressed export was given without the one that it was made from; report this")
        proved = self.whole.verify(path, encoded.whole, model, images[:MOST_PROVED])
        if not proved.verified:
            reason = f"what it costs cannot be measured here: {proved.reason}"
            raise InvalidParameter("compress", self.compression.method, reason)
        spec_version, exported = self.smaller.answers(encoded, images)
        trained = network_answers(model.network(), model.labels, images, self.clock)
        compared = len(self.photo_labels) or len(images)
        loss = measured_loss(
            self.compression,
            encoded.whole.size_bytes,
            latest(exported, compared),
            latest(trained, compared),
            self.photo_labels or (None,) * compared,
        )
        _check(path, loss)
        # Whatever a probability may lose, it stays one: this refuses what is no number, or of other classes.
        report = verify_export(
            path=path,
            format=proved.format,
            spec_version=spec_version,
            size_bytes=encoded.size_bytes,
            exported=replace(exported, labels=trained.labels),
            trained=trained,
            tolerance=1.0,
        )
        return replace(
            report,
            num_images=loss.num_images,
            num_labels_equal=loss.num_images - loss.num_changed,
            max_difference=loss.max_difference,
            tolerance=TOLERANCES[self.compression.method],
            compression=loss,
        )


def compressed_exporter(
    suffix: str, compression: Compression, photo_labels: Sequence[str | None] = ()
) -> CompressedExporter:
    """For one of `compression.SUFFIXES`; `photo_labels` are those of the photos at the end of what it verifies on."""
    whole, smaller = CoreMLExporter(), CoreMLExporter(compression=compression)
    formats: tuple[CoreMLFormat, CoreMLFormat] = (whole, smaller)
    if suffix == ".mlpackage":
        formats = (MLPackageExporter(), MLPackageExporter(compression=compression))
    return CompressedExporter(
        whole=formats[0], smaller=formats[1], compression=compression, photo_labels=tuple(photo_labels)
    )


def latest(answers: Answers, count: int) -> Answers:
    """Those of the last `count` pictures."""
    start = len(answers.labels) - count
    return replace(answers, labels=answers.labels[start:], probabilities=answers.probabilities[start:])


def measured_loss(
    compression: Compression,
    uncompressed_size_bytes: int,
    exported: Answers,
    trained: Answers,
    truth: Sequence[str | None],
) -> CompressionLoss:
    """What a file's answers lost against the trained model's on the same N pictures; pure. `truth` has N labels."""
    pairs = list(zip(truth, exported.labels, trained.labels, strict=True))
    known = [pair for pair in pairs if pair[0] is not None]
    return CompressionLoss(
        method=compression.method,
        uncompressed_size_bytes=uncompressed_size_bytes,
        num_images=len(pairs),
        num_changed=sum(found != expected for _, found, expected in pairs),
        max_changed=compression.max_changed,
        max_difference=float(abs(exported.probabilities - trained.probabilities).max()),
        num_labeled=len(known),
        uncompressed_accuracy=sum(true == expected for true, _, expected in known) / len(known) if known else None,
        accuracy=sum(true == found for true, found, _ in known) / len(known) if known else None,
    )


def _check(path: str, loss: CompressionLoss) -> None:
    milder = METHODS[: METHODS.index(loss.method)]
    cure = f"use {milder[-1]}" if milder else "export it uncompressed"
    tolerance = TOLERANCES[loss.method]
    if not loss.max_difference <= tolerance:
        raise InvalidParameter(
            "compress",
            loss.method,
            f"a probability of {path} differs by {loss.max_difference:.3g} from the model's, more than the "
            f"{tolerance:g} of this method; nothing was written, {cure}",
        )
    share = loss.num_changed / loss.num_images
    if share > loss.max_changed:
        enough = f"{math.ceil(100 * share) / 100:g}"
        raise InvalidParameter(
            "compress",
            loss.method,
            f"{loss.num_changed} of {loss.num_images} pictures get another label from {path} than from the model, more "
            f"than {100 * loss.max_changed:g} %; nothing was written, {cure}, or allow it: "
            f"max_changed={enough} (--max-changed {enough})",
        )
