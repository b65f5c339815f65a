"""A trained classifier as files for other programs, and as a Core ML model in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlsession import __version__
from mlsession.classifier.model import ImageModel
from mlsession.errors import DamagedData, StoreError, UnreadableImage, UsageError
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import Exporter, Images, export_suffix
from mlsession.export.report import ExportReport
from mlsession.images.decode import prepare_image
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.store.reading import ReadPolicy
from mlsession.store.retrying import Backoff
from mlsession.training.indexes import read_index
from mlsession.training.inputs import TEST_INDEX, TRAINING_INDEX
from mlsession.training.request import recorded_request
from mlsession.training.results import StoredResults

if TYPE_CHECKING:
    from coremltools.models import MLModel


MOST_PHOTOS = 8
"""So many photos of a session an export is proved on, beside pictures that are made up."""


def write_model(
    model: ImageModel,
    url: str,
    metadata: ModelMetadata,
    metrics: Mapping[str, ClassifierMetrics],
    storage_options: Mapping[str, object] | None = None,
    results: StoredResults | None = None,
) -> ExportReport:
    """Write a model, proved and atomically, in the format that `url` ends with; see `Classifier.write`.

    `results` name the session whose photos it is proved on as well.
    """
    from mlsession.export.plugins import offered_suffixes
    from mlsession.export.verify import proof_images
    from mlsession.export.write import check_destination, export_model

    check_destination(url, storage_options)
    suffix = export_suffix(url, offered_suffixes)
    exporter = _exporter(suffix)
    photos = session_photos(results, model.side)
    return export_model(
        model,
        url,
        with_facts(metadata, model, metrics),
        np.concatenate([proof_images(model.side), *photos]),
        {suffix: exporter},
        storage_options,
        num_photos=len(photos),
    )


def _exporter(suffix: str) -> Exporter[ImageModel]:
    """Of a known suffix; converters are loaded for none but this one."""
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


def session_photos(results: StoredResults | None, side: int) -> list[Images]:
    """A few photos of a session, uint8 [1, side, side, 3] each, from all over its test images, or else its training's.

    Fewer, or none, where they cannot be read from here: an export needs no data, and its report says how many there
    were.
    """
    if results is None:
        return []
    found: list[Images] = []
    try:
        for data, name in _photo_files(results):
            with suppress(UnreadableImage):
                found.append(prepare_image(data, name, side)[None])
    except (UsageError, StoreError, DamagedData, KeyError):
        return found
    return found


def _photo_files(results: StoredResults) -> Iterator[tuple[bytes, str]]:
    place = results.place
    parameters = SessionParameters(place.url, storage_options=place.storage_options)
    with closing(TrainingSession(place.open, parameters)) as session:
        request, past = recorded_request(session), session.at_checkpoint(results.checkpoint)
        source, named = (request.data, TRAINING_INDEX)
        if request.testing is not None:
            source, named = (request.testing, TEST_INDEX)
        keys = read_index(session, named, past).index.keys
    step = max(-(-len(keys) // MOST_PHOTOS), 1)
    with closing(source.reader(ReadPolicy(read_timeout=10, backoff=Backoff(give_up_after=10)))) as reader:
        for key in keys[::step][:MOST_PHOTOS]:
            yield reader.read(key), key


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
