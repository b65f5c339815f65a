"""Export as a Core ML neural network (`.mlmodel`): preprocessing, labels and metadata inside.

    torch.export -> coremltools -> the NeuralNetwork protobuf -> names, labels, metadata -> bytes

coremltools converts anywhere but predicts on a Mac only, so `evaluate` runs what was written, and `verify` compares.
"""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mlsession.errors import InvalidParameter
from mlsession.export.evaluate import evaluate_mlmodel, read_mlmodel
from mlsession.export.metadata import ModelMetadata, check_text
from mlsession.export.protocol import ExportableModel, Images
from mlsession.export.report import ExportReport
from mlsession.export.silence import silenced_coremltools
from mlsession.export.verify import Answers, network_probabilities, verify_export

IMAGE_INPUT = "image"
LABEL_OUTPUT = "label"
PROBABILITY_OUTPUT = "labelProbability"

PREVIEW_TYPE = ("com.apple.coreml.model.preview.type", "imageClassifier")
"""Makes Xcode and Finder offer to try the model on pictures."""

# coremltools notes the day of conversion here; without it the same model gives the same bytes tomorrow.
_CONVERSION_DATE = "com.github.apple.coremltools.conversion_date"


def convert_mlmodel(network: torch.nn.Module, labels: Sequence[str], metadata: ModelMetadata, side: int = 256) -> bytes:
    """A Core ML classifier as the bytes of an `.mlmodel` file; specification 4: iOS 13, macOS 10.15 and later.

    `network` maps float32 [N, 3, side, side] RGB pixels from 0 to 255 to class probabilities [N, K]: crop,
    normalisation and softmax are inside. It is not changed, whatever device and mode it is in. The file takes an
    `image` (RGB, `side` x `side` pixels) and gives `label` (text) and `labelProbability` (label -> probability);
    weights are float32. The same input gives the same bytes with the same library versions.

    Raises `InvalidParameter` for labels that Core ML cannot tell apart, for a network of another shape, and for a
    network that Core ML cannot express.
    """
    labels = tuple(labels)
    _check_labels(labels)
    if side < 1:
        raise InvalidParameter("side", side, "must be a number of pixels, 1 or more")
    frozen = copy.deepcopy(network).to(device="cpu", dtype=torch.float32).eval()
    _check_shape(frozen, labels, side)
    with silenced_coremltools() as coremltools:
        try:
            spec = _converted(coremltools, frozen, labels, side)
        except MemoryError:
            raise
        except Exception as error:  # the converter raises whatever its parts raise
            cause = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InvalidParameter(
                "network", type(network).__name__, f"Core ML cannot express it: {cause}; export in another format"
            ) from error
    _describe(spec, metadata, side)
    # Maps have no order of their own in a protobuf: the deterministic form sorts them.
    data: bytes = spec.SerializeToString(deterministic=True)
    return data


@dataclass(frozen=True, slots=True)
class CoreMLExporter:
    """`Exporter` for `.mlmodel`."""

    @property
    def suffix(self) -> str:
        return ".mlmodel"

    def encode(self, model: ExportableModel, metadata: ModelMetadata) -> bytes:
        """See `convert_mlmodel`."""
        return convert_mlmodel(model.network(), model.labels, metadata, model.side)

    def verify(self, path: str, data: bytes, model: ExportableModel, images: Images) -> ExportReport:
        """Run the file's own graph on `images`; see `verify_export` for what agrees and what is raised."""
        contents = read_mlmodel(data)
        labels, probabilities = evaluate_mlmodel(data, images)
        return verify_export(
            path=path,
            format="Core ML neural network",
            spec_version=contents.spec_version,
            size_bytes=len(data),
            exported=Answers(class_labels=contents.labels, labels=tuple(labels), probabilities=probabilities),
            class_labels=model.labels,
            probabilities=network_probabilities(model.network(), images),
        )


def _check_labels(labels: tuple[str, ...]) -> None:
    if len(labels) < 2:
        raise InvalidParameter("labels", labels, "a classifier needs two labels or more")
    seen: dict[str, str] = {}
    for label in labels:
        check_text("labels", label)
        # Swift compares text by canonical equivalence: two such keys of one dictionary stop the app that reads it.
        form = unicodedata.normalize("NFC", label)
        if form in seen:
            raise InvalidParameter(
                "labels", label, f"Core ML cannot tell it from the label {seen[form]!r}; rename one of them"
            )
        seen[form] = label


def _check_shape(network: torch.nn.Module, labels: tuple[str, ...], side: int) -> None:
    with torch.no_grad():
        found = tuple(network(torch.zeros(1, 3, side, side)).shape)
    if found != (1, len(labels)):
        raise InvalidParameter(
            "network",
            type(network).__name__,
            f"gives {list(found)} for one picture and {len(labels)} labels; it must give [1, {len(labels)}]",
        )


def _converted(coremltools: Any, network: torch.nn.Module, labels: tuple[str, ...], side: int) -> Any:
    """The model's protobuf, as coremltools makes it."""
    # torch.export rather than torch.jit.trace: tracing is deprecated, and fails on networks that compute sizes.
    # Decomposing to the core operators is what coremltools asks for.
    with torch.no_grad():
        program = torch.export.export(network, (torch.zeros(1, 3, side, side),), strict=False)
        program = program.run_decompositions({})
    image = coremltools.ImageType(name=IMAGE_INPUT, shape=(1, 3, side, side), color_layout=coremltools.colorlayout.RGB)
    model = coremltools.convert(
        program,
        convert_to="neuralnetwork",
        inputs=[image],
        outputs=[coremltools.TensorType(name=PROBABILITY_OUTPUT)],
        classifier_config=coremltools.ClassifierConfig(list(labels), predicted_feature_name=LABEL_OUTPUT),
        minimum_deployment_target=coremltools.target.iOS13,
        skip_model_load=True,
    )
    return model.get_spec()


def _describe(spec: Any, metadata: ModelMetadata, side: int) -> None:
    """Write into the protobuf what Xcode shows of it."""
    shown = spec.description.metadata
    shown.author = metadata.author
    shown.shortDescription = metadata.short_description
    shown.license = metadata.license
    shown.versionString = metadata.version
    shown.userDefined.pop(_CONVERSION_DATE, None)
    shown.userDefined.update({PREVIEW_TYPE[0]: PREVIEW_TYPE[1], **metadata.additional})
    words = {
        IMAGE_INPUT: f"The picture: short side scaled to {side} pixels, then its centre, {side} x {side} pixels.",
        LABEL_OUTPUT: "The most probable label.",
        PROBABILITY_OUTPUT: "The probability of each label; they add up to 1.",
    }
    for feature in (*spec.description.input, *spec.description.output):
        feature.shortDescription = words[feature.name]
