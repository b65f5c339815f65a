"""Export as a Core ML program (`.mlpackage`): the form that Apple develops further, a folder of files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from mlsession.clock import Clock, SystemClock
from mlsession.coreml.interface import NotRunHere
from mlsession.coreml.manifest import package_files
from mlsession.coreml.program import evaluate_mlpackage, read_mlpackage
from mlsession.export.compression import Compression
from mlsession.export.conversion import Form, convert
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import ExportableModel, Images
from mlsession.export.report import ExportReport, not_verified
from mlsession.export.verify import OWN_EVALUATOR, Answers, network_answers, verify_export


def convert_mlpackage(
    network: torch.nn.Module,
    labels: Sequence[str],
    metadata: ModelMetadata,
    side: int = 256,
    compression: Compression | None = None,
) -> dict[str, bytes]:
    """A Core ML classifier as the files of an `.mlpackage`, by path; specification 6: iOS 15, macOS 12 and later.

    Takes what `coreml.convert_mlmodel` takes, and gives a model with the same inputs, outputs and answers: weights
    and computation are float32, but for `compression`, whose whole numbers and tables take specification 7: iOS 16,
    macOS 13. The manifest comes last.

    Raises `InvalidParameter` for labels that Core ML cannot tell apart, for a network of another shape, and for a
    network that Core ML cannot express.
    """
    made = convert(Form.PROGRAM, network, labels, metadata, side, compression)
    return package_files(made.model, made.weights)


@dataclass(frozen=True, slots=True)
class MLPackageExporter:
    """`Exporter` for `.mlpackage`."""

    clock: Clock = field(default_factory=SystemClock)
    compression: Compression | None = None
    """In what fewer bits it is; what that loses `compressed.CompressedExporter` measures."""

    @property
    def suffix(self) -> str:
        return ".mlpackage"

    def encode(self, model: ExportableModel, metadata: ModelMetadata) -> Encoded:
        """See `convert_mlpackage`."""
        return Encoded(convert_mlpackage(model.network(), model.labels, metadata, model.side, self.compression))

    def verify(self, path: str, encoded: Encoded, model: ExportableModel, images: Images) -> ExportReport:
        """Run the package's own program on `images`; see `verify_export` for what agrees and what is raised.

        One with a part that our evaluator does not know is not verified, and the report says why.
        """
        try:
            spec_version, exported = self.answers(encoded, images)
        except NotRunHere as error:
            version = read_mlpackage(encoded.files).spec_version
            return not_verified(path, "Core ML program", version, encoded.size_bytes, str(error))
        return verify_export(
            path=path,
            format="Core ML program",
            spec_version=spec_version,
            size_bytes=encoded.size_bytes,
            exported=exported,
            trained=network_answers(model.network(), model.labels, images, self.clock),
        )

    def answers(self, encoded: Encoded, images: Images) -> tuple[int, Answers]:
        """The package's specification version, and what its own program says of pictures; see `evaluate_mlpackage`."""
        contents = read_mlpackage(encoded.files)
        labels, probabilities = evaluate_mlpackage(encoded.files, images)
        return contents.spec_version, Answers(
            class_labels=contents.labels, labels=tuple(labels), probabilities=probabilities, runtime=OWN_EVALUATOR
        )
