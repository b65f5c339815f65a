"""A trained classifier as files for other programs, and as a Core ML model in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlsession import __version__
from mlsession.classifier.model import ImageModel
from mlsession.export.compression import Compression, checked_compression
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import Exporter, Images, export_suffix
from mlsession.export.report import ExportReport
from mlsession.metrics.report import ClassifierMetrics
from mlsession.training.findings.results import StoredResults
from mlsession.training.images.session_photos import SessionPhoto, session_photos

if TYPE_CHECKING:
    from coremltools.models import MLModel


MOST_PHOTOS = 8
"""So many photos of a session an export is proved on, beside pictures that are made up."""

MOST_MEASURED = 200
"""On so many what a compression changed is measured, which takes half a minute on one core."""


def write_model(
    model: ImageModel,
    url: str,
    metadata: ModelMetadata,
    metrics: Mapping[str, ClassifierMetrics],
    storage_options: Mapping[str, object] | None = None,
    results: StoredResults | None = None,
    *,
    compress: str | None = None,
    max_changed: float | None = None,
) -> ExportReport:
    """Write a model, proved and atomically, in the format that `url` ends with; see `Classifier.write`.

    `results` name the session whose photos it is proved on as well.
    """
    from mlsession.export.plugins import offered_suffixes
    from mlsession.export.write import check_destination, export_model

    suffix = export_suffix(url, offered_suffixes)
    compression = checked_compression(suffix, compress, max_changed)
    check_destination(url, storage_options)
    photos = proof_photos(results, model.side, compression)
    return export_model(
        model,
        url,
        with_facts(metadata, model, metrics),
        pictures(model.side, photos),
        {suffix: exporter_of(suffix) if compression is None else smaller(suffix, compression, photos)},
        storage_options,
        num_photos=len(photos),
    )


def proof_photos(results: StoredResults | None, side: int, compression: Compression | None) -> list[SessionPhoto]:
    """Photos of a session, for an export in fewer bits as many as say what these cost."""
    return session_photos(results, side, MOST_PHOTOS if compression is None else MOST_MEASURED)


def pictures(side: int, photos: Sequence[SessionPhoto]) -> Images:
    """What an export is proved on: the made-up pictures, then the photos."""
    from mlsession.export.verify import proof_images

    return np.concatenate([proof_images(side), *(photo.picture for photo in photos)])


def smaller(suffix: str, compression: Compression, photos: Sequence[SessionPhoto]) -> Exporter[ImageModel]:
    """The exporter of a Core ML format in fewer bits; `photos` end what it verifies on."""
    from mlsession.export.compressed import compressed_exporter

    return compressed_exporter(suffix, compression, [photo.label for photo in photos])


def exporter_of(suffix: str) -> Exporter[ImageModel]:
    """The exporter of a known suffix; converters are loaded for none but this one."""
    if suffix == ".mlmodel":
        from mlsession.export.coreml import CoreMLExporter

        return CoreMLExporter()
    if suffix == ".mlpackage":
        from mlsession.export.mlpackage import MLPackageExporter

        return MLPackageExporter()
    if suffix == ".onnx":
        from mlsession.export.onnx import ONNXExporter

        return ONNXExporter()
    if suffix == ".pt2":
        from mlsession.export.pt2 import PT2Exporter

        return PT2Exporter()
    if suffix == ".safetensors":
        from mlsession.export.safetensors import SafetensorsExporter

        return SafetensorsExporter()
    from mlsession.export.plugins import offered_exporter

    return offered_exporter(suffix)


def core_ml_model(model: ImageModel, metrics: Mapping[str, ClassifierMetrics]) -> MLModel:
    """A model as coremltools' `MLModel`, proved; see `Classifier.model`. Raises `InvalidParameter`, `InternalError`."""
    from mlsession.export.in_memory import in_memory_model
    from mlsession.export.verify import proof_images

    return in_memory_model(model, with_facts(ModelMetadata(), model, metrics), proof_images(model.side))


def with_facts(metadata: ModelMetadata, model: ImageModel, metrics: Mapping[str, ClassifierMetrics]) -> ModelMetadata:
    """`metadata` with what is known of the model among its `additional` facts; what the caller gives there stays.

    mlsession.version              that wrote it
    mlsession.model_digest         SHA-256 over the trained tensors, in hex
    mlsession.feature_extractor    everything that gives its features their meaning
    mlsession.classifier           the kind of its head
    mlsession.num_classes
    mlsession.temperature          what the logits were divided by, see `ImageModel.temperature`; as Python writes it
    mlsession.<part>_images        how many were measured; part is training, validation or test
    mlsession.<part>_accuracy      0 to 1, in four decimals
    """
    facts = {
        "mlsession.version": __version__,
        "mlsession.model_digest": model.digest,
        "mlsession.feature_extractor": model.feature_extractor.identity,
        "mlsession.classifier": model.head.kind,
        "mlsession.num_classes": str(len(model.labels)),
        "mlsession.temperature": repr(model.temperature),
    }
    for part, measured in metrics.items():
        if measured.is_valid:
            facts[f"mlsession.{part}_images"] = str(measured.count)
            facts[f"mlsession.{part}_accuracy"] = f"{measured.accuracy:.4f}"
    return replace(metadata, additional={**facts, **metadata.additional})
