"""A Core ML model in memory, as coremltools' own object: to look into, to change, and on a Mac to predict with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.coreml.interface import parse_model
from mlsession.coreml.manifest import MODEL, WEIGHTS
from mlsession.coreml.silence import silenced_coremltools
from mlsession.errors import InvalidParameter
from mlsession.export.coreml import CoreMLExporter
from mlsession.export.metadata import ModelMetadata
from mlsession.export.mlpackage import MLPackageExporter
from mlsession.export.protocol import ExportableModel, Images

if TYPE_CHECKING:
    from coremltools.models import MLModel


def in_memory_model(model: ExportableModel, metadata: ModelMetadata, images: Images) -> MLModel:
    """The model as a neural network, as `.mlmodel` has it; as an ML program where that cannot express it, or cannot be
    run here.

    Its answers are compared with the model's on `images` (uint8 [N, side, side, 3]) first. Raises `InvalidParameter`
    where Core ML cannot express it, `InternalError` if the answers differ.
    """
    network = CoreMLExporter()
    try:
        encoded = network.encode(model, metadata)
    except InvalidParameter:
        return _program(model, metadata, images)
    if not network.verify("the Core ML model", encoded, model, images).verified:
        return _program(model, metadata, images)
    spec = parse_model(encoded.data, "neuralNetworkClassifier")
    with silenced_coremltools() as coremltools:
        made: MLModel = coremltools.models.MLModel(spec)
    return made


def _program(model: ExportableModel, metadata: ModelMetadata, images: Images) -> MLModel:
    program = MLPackageExporter()
    encoded = program.encode(model, metadata)
    program.verify("the Core ML model", encoded, model, images)
    spec = parse_model(encoded.files[MODEL], "mlProgram")
    with tempfile.TemporaryDirectory(prefix="mlsession-export-") as folder, silenced_coremltools() as coremltools:
        # coremltools copies them to a folder of its own, which it removes when the process ends.
        weights = Path(folder) / "weights"
        weights.mkdir()
        (weights / "weight.bin").write_bytes(encoded.files.get(WEIGHTS, b""))
        made: MLModel = coremltools.models.MLModel(spec, weights_dir=str(weights))
    return made
