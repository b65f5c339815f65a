"""Export as ONNX (`.onnx`): for ONNX Runtime and what else reads it, with scaling, labels and metadata inside.

session = onnxruntime.InferenceSession("Animals.onnx")
(probabilities,) = session.run(None, {"image": np.asarray(Image.open("cat.jpg").convert("RGB"))[None]})
labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mlsession.clock import Clock, SystemClock
from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export.capture import IMAGE_INPUT, PROBABILITY_OUTPUT, captured, quiet, refusing
from mlsession.export.described import descriptions, read_labels
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import ExportableModel, Images
from mlsession.export.report import ExportReport
from mlsession.export.requirements import check_installed
from mlsession.export.verify import Floats
from mlsession.export.verify_sizes import verify_any_size

OPSET = 18
"""The version of the operators, by ONNX's table of versions that of ONNX Runtime 1.14; newer ones read it as well."""
MOST_BYTES = 2**31 - 1
"""A protobuf, and so a single file of ONNX, is not larger."""

_INPUT = "image: uint8 [N, H, W, 3], RGB, as decoders give pictures; any N, H and W"
_OTHERS = ".pt2 or .safetensors"
_MEANINGS = ("DATA_BATCH", "DATA_FEATURE", "DATA_FEATURE", "DATA_CHANNEL")
_IMAGE_FACTS = {
    "Image.BitmapPixelFormat": "Rgb8",
    "Image.ColorSpaceGamma": "SRGB",
    "Image.NominalPixelRange": "NominalRange_0_255",
}
"""What ONNX calls the colour order and the range of an image input."""


def convert_onnx(network: torch.nn.Module, labels: Sequence[str], metadata: ModelMetadata, side: int = 256) -> bytes:
    """A classifier as the bytes of an `.onnx` file: `image`, uint8 [N, H, W, 3], to `probabilities`, float32 [N, K].

    See `capture.captured` for what it takes, and raises; `InvalidParameter` also for one of 2 GB and more. Labels and
    metadata are in its `metadata_props`: see `described.descriptions`; author and licence by ONNX's own names too. The
    same input gives the same bytes with the same library versions. Raises `UsageError` without onnx or onnxscript.
    """
    check_installed(".onnx")
    said = {**descriptions(metadata, labels, _INPUT, side), **_IMAGE_FACTS}
    said |= {"model_author": metadata.author, "model_license": metadata.license}
    program = captured(network, labels, side, channels_last=True, others=_OTHERS)
    with refusing(network, "ONNX cannot express it", _OTHERS), quiet():
        made = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[IMAGE_INPUT],
            output_names=[PROBABILITY_OUTPUT],
            verbose=False,
        )
        assert made is not None
        model = made.model_proto
    _describe(model, said, metadata)
    if model.ByteSize() > MOST_BYTES:
        reason = f"is larger than 2 GB, the most that one ONNX file can be; export it as {_OTHERS} instead"
        raise InvalidParameter("network", type(network).__name__, reason)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _describe(model: Any, said: dict[str, str], metadata: ModelMetadata) -> None:
    """Write what the file says about itself, and take out what the converter noted of this machine."""
    graph = model.graph
    for each in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *_functions(model)):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    graph.ClearField("value_info")  # Names of free sizes; readers infer the shapes.
    graph.name = "mlsession"
    _interface(graph)
    model.doc_string = metadata.short_description
    for name, text in sorted(said.items()):
        model.metadata_props.add(key=name, value=text)


def _functions(model: Any) -> Iterable[Any]:
    return (each for function in model.functions for each in (function, *function.node))


def _interface(graph: Any) -> None:
    """Names of the free dimensions, and that the input is a picture, which viewers show."""
    (image,), (probabilities,) = graph.input, graph.output
    rename = {probabilities.name: PROBABILITY_OUTPUT, image.name: IMAGE_INPUT}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [rename.get(name, name) for name in names]
    image.name, probabilities.name = IMAGE_INPUT, PROBABILITY_OUTPUT
    image.type.denotation = "IMAGE"
    sizes = image.type.tensor_type.shape.dim
    for size, name, meaning in zip(sizes, ("batch", "height", "width", ""), _MEANINGS, strict=True):
        size.denotation = meaning
        if name:
            size.dim_param = name
    probabilities.type.tensor_type.shape.dim[0].dim_param = "batch"


@dataclass(frozen=True, slots=True)
class ONNXExporter:
    """`Exporter` for `.onnx`."""

    clock: Clock = field(default_factory=SystemClock)

    @property
    def suffix(self) -> str:
        return ".onnx"

    def encode(self, model: ExportableModel, metadata: ModelMetadata) -> Encoded:
        """See `convert_onnx`."""
        return Encoded.of_file(convert_onnx(model.network(), model.labels, metadata, model.side))

    def verify(self, path: str, encoded: Encoded, model: ExportableModel, images: Images) -> ExportReport:
        """Run the file's bytes in ONNX Runtime on `images`; see `verify_any_size`."""
        check_installed(".onnx")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # Errors, which are raised as well.
        try:
            session = onnxruntime.InferenceSession(encoded.data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its classes are made by a binding, and share nothing but this
            cause = str(error).strip().partition("\n")[0]
            raise DamagedData(path, f"ONNX Runtime cannot load it: {cause}; export it again") from error

        def run(pictures: Images) -> Floats:
            (found,) = session.run([PROBABILITY_OUTPUT], {IMAGE_INPUT: pictures})
            probabilities: Floats = found
            return probabilities

        return verify_any_size(
            path=path,
            format="ONNX",
            spec_version=_opset(encoded.data),
            encoded=encoded,
            class_labels=read_labels(session.get_modelmeta().custom_metadata_map, path),
            run=run,
            runtime=f"ONNX Runtime {onnxruntime.__version__}",
            model=model,
            images=images,
            clock=self.clock,
        )


def _opset(data: bytes) -> int:
    import onnx

    model = onnx.load_model_from_string(data)
    return next(int(each.version) for each in model.opset_import if each.domain == "")
