"""Our own saved form as an export: the head and what it belongs to, in a few kilobytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlsession.classifier.format import FORMAT, decode_model, encode_model
from mlsession.classifier.model import ImageModel
from mlsession.clock import Clock, SystemClock
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import Images
from mlsession.export.report import ExportReport
from mlsession.export.verify import network_answers, verify_export
from mlsession.extractors.catalog import weights_place
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True)
class SafetensorsExporter:
    """`Exporter` for `.safetensors`; `classifier.format` says what is in the file."""

    clock: Clock = field(default_factory=SystemClock)

    @property
    def suffix(self) -> str:
        return ".safetensors"

    def encode(self, model: ImageModel, metadata: ModelMetadata) -> Encoded:
        """The whole file."""
        additional: dict[str, Json] = dict(metadata.additional)
        data = encode_model(
            model,
            {
                "author": metadata.author,
                "short_description": metadata.short_description,
                "license": metadata.license,
                "version": metadata.version,
                "additional": additional,
            },
        )
        return Encoded.of_file(data)

    def verify(self, path: str, encoded: Encoded, model: ImageModel, images: Images) -> ExportReport:
        """Read the file back, and compare its network's answers with the model's."""
        read = decode_model(encoded.data, path, *weights_place(model.feature_extractor))
        return verify_export(
            path=path,
            format="mlsession classifier",
            spec_version=FORMAT,
            size_bytes=encoded.size_bytes,
            exported=network_answers(read.network(), read.labels, images, self.clock),
            trained=network_answers(model.network(), model.labels, images, self.clock),
        )
