"""Our own saved form as an export: the head and what it belongs to, in a few kilobytes."""

from __future__ import annotations

from dataclasses import dataclass

from mlsession.classifier.format import FORMAT, decode_model, encode_model
from mlsession.classifier.model import ImageModel
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import Images
from mlsession.export.report import ExportReport
from mlsession.export.verify import Answers, network_probabilities, verify_export
from mlsession.extractors.catalog import weights_place
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True)
class SafetensorsExporter:
    """`Exporter` for `.safetensors`; `classifier.format` says what is in the file."""

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
        probabilities = network_probabilities(read.network(), images)
        return verify_export(
            path=path,
            format="mlsession classifier",
            spec_version=FORMAT,
            size_bytes=encoded.size_bytes,
            exported=Answers(
                class_labels=read.labels,
                labels=tuple(read.labels[place] for place in probabilities.argmax(axis=1)),
                probabilities=probabilities,
            ),
            class_labels=model.labels,
            probabilities=network_probabilities(model.network(), images),
        )
