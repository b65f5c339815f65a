"""Export as a Core ML neural network (`.mlmodel`): preprocessing, labels and metadata inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from mlsession.clock import Clock, SystemClock
from mlsession.coreml.evaluate import evaluate_mlmodel, read_mlmodel
from mlsession.coreml.interface import NotRunHere
from mlsession.export.compression import Compression
from mlsession.export.conversion import Form, convert
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import ExportableModel, Images
from mlsession.export.report import ExportReport, not_verified
from mlsession.export.verify import OWN_EVALUATOR, Answers, network_answers, verify_export


def convert_mlmodel(
    network: torch.nn.Module,
    labels: Sequence[str],
    metadata: ModelMetadata,
    side: int = 256,
    compression: Compression | None = None,
) -> bytes:
    """A Core ML classifier as the bytes of an `.mlmodel` file; specification 4: iOS 13, macOS 10.15 and later. Networks
    that take one of several tokens (a ViT) need specification 5: iOS 14, macOS 11.

    `network` maps float32 [N, 3, side, side] RGB pixels from 0 to 255 to class probabilities [N, K]: crop,
    normalisation and softmax are inside. It is not changed, whatever device and mode it is in. The file takes an
    `image` (RGB, `side` x `side` pixels) and gives `label` (text) and `labelProbability` (label -> probability);
    weights are float32, or in the fewer bits of `compression`. The same input gives the same bytes with the same
    library versions.

    Raises `InvalidParameter` for labels that Core ML cannot tell apart, for a network of another shape, and for a
    network that a Core ML neural network cannot express; `.mlpackage` takes some of those.
    """
    return convert(Form.NEURAL_NETWORK, network, labels, metadata, side, compression).model


@dataclass(frozen=True, slots=True)
class CoreMLExporter:
    """`Exporter` for `.mlmodel`."""

    clock: Clock = field(default_factory=SystemClock)
    compression: Compression | None = None
    """In what fewer bits weights are; what that loses `compressed.CompressedExporter` measures."""

    @property
    def suffix(self) -> str:
        return ".mlmodel"

    def encode(self, model: ExportableModel, metadata: ModelMetadata) -> Encoded:
        """See `convert_mlmodel`."""
        return Encoded.of_file(convert_mlmodel(model.network(), model.labels, metadata, model.side, self.compression))

    def verify(self, path: str, encoded: Encoded, model: ExportableModel, images: Images) -> ExportReport:
        """Run the file's own graph on `images`; see `verify_export` for what agrees and what is raised.

        One with a part that our evaluator does not know is not verified, and the report says why.
        """
        try:
            spec_version, exported = self.answers(encoded, images)
        except NotRunHere as error:
            version = read_mlmodel(encoded.data).spec_version
            return not_verified(path, "Core ML neural network", version, encoded.size_bytes, str(error))
        return verify_export(
            path=path,
            format="Core ML neural network",
            spec_version=spec_version,
            size_bytes=encoded.size_bytes,
            exported=exported,
            trained=network_answers(model.network(), model.labels, images, self.clock),
        )

    def answers(self, encoded: Encoded, images: Images) -> tuple[int, Answers]:
        """The file's specification version, and what its own graph says of pictures; see `evaluate_mlmodel`."""
        contents = read_mlmodel(encoded.data)
        labels, probabilities = evaluate_mlmodel(encoded.data, images)
        return contents.spec_version, Answers(
            class_labels=contents.labels, labels=tuple(labels), probabilities=probabilities, runtime=OWN_EVALUATOR
        )
