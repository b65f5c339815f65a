"""Core ML files as models of one's own, run by the evaluators of `export` on any system: the same features everywhere.

Neural networks (also classifiers and regressors, by a value inside) and ML programs, with one picture as their input.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mlsession.coreml.constants import Constants
from mlsession.coreml.evaluate import compiled_layers
from mlsession.coreml.interface import Message, channel_order, picture_side
from mlsession.coreml.manifest import root_model
from mlsession.coreml.program import compiled_operations, main_operations
from mlsession.coreml.silence import coremltools_module
from mlsession.errors import DamagedData, InvalidParameter
from mlsession.extractors.custom.files import digest_of
from mlsession.extractors.custom.input import InputOptions, PictureInput, described_input
from mlsession.extractors.custom.model import Opened, chosen_output
from mlsession.extractors.custom.torch import opened_network
from mlsession.extractors.prepared import Prepared

_NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")
_PROGRAM = "mlProgram"
_FIXED = ("const", "classify")
"""Operations whose outputs are no values of pictures: numbers of the program, and the choice of labels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CoreMLFile:
    """`OwnModel` for an `.mlmodel` or `.mlpackage`."""

    shown: str
    weights: str
    spec: Message = field(repr=False)
    """The protobuf `Model`."""
    constants: Constants = field(repr=False)

    @property
    def batch(self) -> int | None:
        return 1

    def picture(self, options: InputOptions) -> PictureInput:
        description = self.spec.description
        try:
            side, channels = picture_side(description), channel_order(description)
        except InvalidParameter as error:
            reason = "must take one picture (an image input in RGB or BGR, square); convert it with an ImageType input"
            raise InvalidParameter("model_path", self.shown, reason) from error
        scale, bias = self._scaling()
        red, green, blue = bias if channels == "RGB" else bias[::-1]
        made = PictureInput(
            network_side=side,
            crop=options.crop,
            channels="RGB" if channels == "RGB" else "BGR",
            scale=scale,
            mean=(0.0 - red, 0.0 - green, 0.0 - blue),
            batch=1,
        )
        return described_input(options, made, self.shown)

    def output(self, asked: str | None, given: PictureInput) -> str:
        arrays = [each.name for each in self.spec.description.output if _is_array(each)]
        others = [each.name for each in self.spec.description.output if not _is_array(each)]
        inner = [name for step in self._steps() for name in _values(step)]
        return chosen_output(asked, arrays, self.shown, others=others, inner=inner, what="multi-array")

    def opened(self, output: str, given: PictureInput) -> Opened:
        steps, source = self._steps(), self.spec.description.input[0].name
        last = next((index for index, step in enumerate(steps) if output in _values(step)), None)
        if last is None:
            raise InvalidParameter("output_name", output, f"nothing in {self.shown} computes it; name a value inside")
        leading = steps[: last + 1]  # What comes after needs not be known.
        if self._is_program:
            function = compiled_operations(leading, source, output, self.constants)
        else:
            function = compiled_layers(leading, source, output)
        return opened_network(Prepared(_Graph(function), given, _counted, self.shown))

    @property
    def _is_program(self) -> bool:
        return bool(self.spec.WhichOneof("Type") == _PROGRAM)

    def _steps(self) -> Sequence[Message]:
        """The layers of a network, or the operations of a program."""
        if self._is_program:
            return main_operations(self.spec.mlProgram)
        layers: Sequence[Message] = self._network.layers
        return layers

    @property
    def _network(self) -> Message:
        return getattr(self.spec, self.spec.WhichOneof("Type"))

    def _scaling(self) -> tuple[float, tuple[float, float, float]]:
        """The scale of the channels, and what is then added to red, green and blue."""
        scale, bias = 1.0, (0.0, 0.0, 0.0)
        for step in () if self._is_program else self._network.preprocessing:
            if step.WhichOneof("preprocessor") != "scaler" or scale != 1.0 or any(bias):
                raise InvalidParameter(
                    "model_path", self.shown, "prepares its picture in a way that cannot be run here"
                )
            it = step.scaler
            # Zero is a scale that was not written.
            scale, bias = it.channelScale or 1.0, (it.redBias, it.greenBias, it.blueBias)
        return scale, bias


class _Graph(nn.Module):
    """A function of tensors as a module; its weights are constants in it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, pictures: Tensor) -> Tensor:
        return self._function(pictures)


def read_core_ml(files: Mapping[str, bytes], shown: str, *, is_package: bool) -> CoreMLFile:
    """A model by its files. Raises `InvalidParameter` for what is none, or of another kind; `UsageError` without
    coremltools.
    """
    proto: Any = coremltools_module().proto.Model_pb2
    spec = proto.Model()
    try:
        path = root_model(files) if is_package else ""
        spec.ParseFromString(files[path])
    except Exception as error:  # protobuf's own class differs between its implementations
        reason = error.reason if isinstance(error, DamagedData) else "its bytes are not a Core ML protobuf"
        raise InvalidParameter("model_path", shown, f"is no Core ML model: {reason}") from error
    kind = spec.WhichOneof("Type")
    if kind not in (*_NETWORKS, _PROGRAM):
        what = f"is a Core ML model of the kind {kind}" if kind else "is no Core ML model"
        raise InvalidParameter("model_path", shown, f"{what}; give a neural network or an ML program")
    if kind != _PROGRAM and (
        getattr(spec, kind).imageInputShapeMapping,
        getattr(spec, kind).arrayInputShapeMapping,
    ) != (1, 1):
        reason = "is a network of tensors of rank 5, older than specification 4; convert it again, for iOS 13 or later"
        raise InvalidParameter("model_path", shown, reason)
    constants = Constants(files, posixpath.dirname(path))
    return CoreMLFile(shown=shown, weights=digest_of(files), spec=spec, constants=constants)


def _is_array(feature: Message) -> bool:
    return bool(feature.type.WhichOneof("Type") == "multiArrayType")


def _values(step: Message) -> list[str]:
    """The values that a layer or operation gives."""
    if hasattr(step, "output"):
        return list(step.output)
    is_fixed = step.type in _FIXED or step.type.startswith("constexpr")
    return [] if is_fixed else [each.name for each in step.outputs]


def _counted(found: Tensor) -> Tensor:
    """With an axis that counts the one picture, which Core ML leaves out in places."""
    return found if found.ndim > 1 and found.shape[0] == 1 else found.unsqueeze(0)
