"""A trained classifier as files for other programs, and as a Core ML model in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mlsession import __version__
from mlsession.classifier.model import ImageModel
from mlsession.export.metadata import ModelMetadata
from mlsession.export.report import ExportReport
from mlsession.metrics.report import ClassifierMetrics

if TYPE_CHECKING:
    from coremltools.models import MLModel


def write_model(
    model: ImageModel,
    url: str,
    metadata: ModelMetadata,
    metrics: Mapping[str, ClassifierMetrics],
    storage_options: Mapping[str, object] | None = None,
) -> ExportReport:
    """Write a model, proved and atomically, in the format that `url` ends with; see `Classifier.write`."""
    from mlsession.export.coreml import CoreMLExporter
    from mlsession.export.mlpackage import MLPackageExporter
    from mlsession.export.safetensors import SafetensorsExporter
    from mlsession.export.verify import proof_images
    from mlsession.export.write import export_model

    exporters = (CoreMLExporter(), MLPackageExporter(), SafetensorsExporter())
    return export_model(
        model,
        url,
        with_facts(metadata, model, metrics),
        proof_images(model.side),
        {exporter.suffix: exporter for exporter in exporters},
        storage_options,
    )


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
