"""From a network to a Core ML specification, by coremltools.

    torch.export -> coremltools -> protobuf -> names, labels, metadata -> bytes

coremltools converts anywhere but predicts on a Mac only, so what was written is run by evaluators of our own.
"""

from __future__ import annotations

import enum
import shutil
import tempfile
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mlsession.coreml.interface import Message
from mlsession.coreml.silence import silenced_coremltools
from mlsession.errors import InvalidParameter
from mlsession.export.capture import check_labels, plain_copy, refusing
from mlsession.export.compression import Compression
from mlsession.export.fewer_bits import compress_layers, compressed_program
from mlsession.export.metadata import ModelMetadata
from mlsession.export.normalisation import without_mvn

IMAGE_INPUT = "image"
LABEL_OUTPUT = "label"
PROBABILITY_OUTPUT = "labelProbability"

PREVIEW_TYPE = ("com.apple.coreml.model.preview.type", "imageClassifier")
"""Makes Xcode and Finder offer to try the model on pictures."""

CROP_AND_SCALE = ("mlsession.crop_and_scale", "centerCrop")
"""The `imageCropAndScaleOption` to give Vision, which is also its default: the rule that the model was trained with."""

# coremltools notes the day of conversion here; without it the same model gives the same bytes tomorrow.
_CONVERSION_DATE = "com.github.apple.coremltools.conversion_date"


class Form(enum.Enum):
    """The forms of a Core ML model; the value is coremltools' name of it."""

    NEURAL_NETWORK = "neuralnetwork"
    """Specification 4, for iOS 13 and macOS 10.15: the oldest that has the layers of rank-free tensors. For networks
    that take one of several tokens, as a ViT does, 5: iOS 14, macOS 11."""
    PROGRAM = "mlprogram"
    """Specification 6, for iOS 15 and macOS 12: the oldest that has ML programs."""

    @property
    def words(self) -> str:
        """As messages call it."""
        return "a neural network" if self is Form.NEURAL_NETWORK else "an ML program"

    @property
    def other_formats(self) -> str:
        """What to export a network as that this form cannot express."""
        return ".mlpackage or .safetensors" if self is Form.NEURAL_NETWORK else ".safetensors"


@dataclass(frozen=True, slots=True)
class Specification:
    """A converted model."""

    model: bytes
    """The protobuf `Model`."""
    weights: bytes
    """The numbers that a program keeps beside it; empty for a neural network, and where all are in the program."""


def convert(
    form: Form,
    network: torch.nn.Module,
    labels: Sequence[str],
    metadata: ModelMetadata,
    side: int,
    compression: Compression | None = None,
) -> Specification:
    """A Core ML classifier of a form; see `coreml.convert_mlmodel` and `mlpackage.convert_mlpackage`.

    Weights as int8 or palettes need specification 7 of a program: iOS 16, macOS 13.

    Raises `InvalidParameter` for labels that Core ML cannot tell apart, for a network of another shape, and for a
    network that the form cannot express.
    """
    labels = tuple(labels)
    _check_labels(labels)
    frozen = plain_copy(network, labels, side)
    with (
        refusing(network, f"Core ML cannot express it as {form.words}", form.other_formats),
        silenced_coremltools() as coremltools,
        tempfile.TemporaryDirectory(prefix="mlsession-export-") as folder,
    ):
        spec, weights = converted(coremltools, form, captured(frozen, side), labels, side, compression, Path(folder))
    if form is Form.PROGRAM:
        _rename_probabilities(spec)
    else:
        without_mvn(spec.neuralNetworkClassifier)
        if compression is not None:
            compress_layers(spec.neuralNetworkClassifier, compression)
    _describe(spec, metadata, side)
    # Maps have no order of their own in a protobuf: the deterministic form sorts them.
    return Specification(model=spec.SerializeToString(deterministic=True), weights=weights)


def _check_labels(labels: tuple[str, ...]) -> None:
    check_labels(labels)
    seen: dict[str, str] = {}
    for label in labels:
        if "\0" in label:
            raise InvalidParameter("labels", label, "holds the character 0, at which Core ML may end it; rename it")
        # Swift compares text by canonical equivalence: two such keys of one dictionary stop the app that reads it.
        canonical = unicodedata.normalize("NFC", label)
        if canonical in seen:
            # They look the same on a screen.
            both = f"{label!a}, and the label {seen[canonical]!a}"
            raise InvalidParameter("labels", label, f"Core ML cannot tell {both} apart; rename one of them")
        seen[canonical] = label


def captured(network: torch.nn.Module, side: int) -> torch.export.ExportedProgram:
    """A network on the CPU, in evaluation mode, as a graph of one picture: float32 [1, 3, side, side]."""
    # torch.export rather than torch.jit.trace: tracing is deprecated, and fails on networks that compute sizes.
    # Decomposing to the core operators is what coremltools asks for.
    with torch.no_grad():
        program = torch.export.export(network, (torch.zeros(1, 3, side, side),), strict=False)
        decomposed: torch.export.ExportedProgram = program.run_decompositions({})
    return decomposed


def converted(
    coremltools: Any,
    form: Form,
    captured: object,
    labels: tuple[str, ...],
    side: int,
    compression: Compression | None,
    folder: Path,
) -> tuple[Message, bytes]:
    """The model's protobuf, as coremltools makes it, and its weights. `captured` is whatever coremltools converts."""
    layout, target = coremltools.colorlayout.RGB, coremltools.target
    options: dict[str, Any] = {
        "inputs": [coremltools.ImageType(name=IMAGE_INPUT, shape=(1, 3, side, side), color_layout=layout)],
        "classifier_config": coremltools.ClassifierConfig(list(labels), predicted_feature_name=LABEL_OUTPUT),
        "skip_model_load": True,
    }
    if form is Form.NEURAL_NETWORK:
        options["outputs"] = [coremltools.TensorType(name=PROBABILITY_OUTPUT)]
        # Without a target: the oldest specification that has its layers.
        return coremltools.convert(captured, convert_to=form.value, **options).get_spec(), b""
    halved = compression is not None and compression.method == "float16"
    # Half precision is the default, and gives other answers than the model that was trained.
    options["compute_precision"] = coremltools.precision.FLOAT16 if halved else coremltools.precision.FLOAT32
    options["minimum_deployment_target"] = target.iOS15 if compression is None or halved else target.iOS16
    options["package_dir"] = str(folder / "model.mlpackage")
    model = coremltools.convert(captured, convert_to=form.value, **options)
    if compression is not None and not halved:
        model = compressed_program(coremltools, model, compression)
        try:
            model.save(str(folder / "model.mlpackage"))
        finally:
            # A package of coremltools' own that would stay among temporary files for as long as the process lives.
            shutil.rmtree(model.package_path, ignore_errors=True)
    weights = [path.read_bytes() for path in sorted(folder.rglob("weight.bin"))]
    return model.get_spec(), b"".join(weights)


def _rename_probabilities(spec: Message) -> None:
    """Give the probabilities of a program their name: coremltools takes none for a classifier's."""
    given = spec.description.predictedProbabilitiesName
    block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
    spec.description.predictedProbabilitiesName = PROBABILITY_OUTPUT
    for named in (*spec.description.output, *block.operations[-1].outputs):
        if named.name == given:
            named.name = PROBABILITY_OUTPUT
    block.outputs[:] = [PROBABILITY_OUTPUT if name == given else name for name in block.outputs]


def _describe(spec: Message, metadata: ModelMetadata, side: int) -> None:
    """Write into the protobuf what Xcode shows of it."""
    shown = spec.description.metadata
    shown.author = metadata.author
    shown.shortDescription = metadata.short_description
    shown.license = metadata.license
    shown.versionString = metadata.version
    shown.userDefined.pop(_CONVERSION_DATE, None)
    shown.userDefined.update(
        {PREVIEW_TYPE[0]: PREVIEW_TYPE[1], CROP_AND_SCALE[0]: CROP_AND_SCALE[1], **metadata.additional}
    )
    words = {
        IMAGE_INPUT: "Input image to be classified: its short side scaled to "
        f"{side} pixels, then its centre, {side} x {side} pixels, as Vision does by .centerCrop.",
        LABEL_OUTPUT: "The most probable label.",
        PROBABILITY_OUTPUT: "The probability of each label; they add up to 1.",
    }
    for feature in (*spec.description.input, *spec.description.output):
        feature.shortDescription = words[feature.name]
