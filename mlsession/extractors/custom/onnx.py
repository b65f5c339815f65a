"""ONNX files as models of one's own: run by ONNX Runtime; as a graph of torch for export, where that can be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, Self

import numpy as np
import torch
from torch import Tensor, nn

from mlsession.errors import InvalidParameter
from mlsession.extractors.custom.files import digest_of
from mlsession.extractors.custom.input import InputOptions, PictureInput, picture_input
from mlsession.extractors.custom.model import Floats, Opened, Pictures, chosen_output
from mlsession.extractors.onnx.files import OnnxModel, inner_values, read_onnx, with_output
from mlsession.extractors.onnx.graph import OnnxGraph
from mlsession.extractors.onnx.runner import OnnxRunner
from mlsession.extractors.prepared import Prepared
from mlsession.randomness import keyed_generator

_TOLERANCE = 1e-3
"""How far a graph of torch may be from ONNX Runtime, of the largest feature; both compute in float32."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OnnxFile:
    """`OwnModel` for an `.onnx` file."""

    shown: str
    weights: str
    file: OnnxModel = field(repr=False)

    @property
    def batch(self) -> int | None:
        return self.file.input.shape[0] if self.file.input.shape else None

    def picture(self, options: InputOptions) -> PictureInput:
        return picture_input(self.file.input, options, self.shown)

    def output(self, asked: str | None, given: PictureInput) -> str:
        inner = sorted(inner_values(self.file.model))
        return chosen_output(asked, self.file.outputs, self.shown, others=self.file.others, inner=inner)

    def opened(self, output: str, given: PictureInput) -> Opened:
        model = with_output(self.file.model, output)
        runner = OnnxRunner(model.SerializeToString(), self.file.input.name, output, given, self.shown)
        return Opened(values=runner.values, network=lambda: self._network(model, output, given, runner))

    def _network(self, model: Any, output: str, given: PictureInput, runner: OnnxRunner) -> nn.Module:
        """A graph that gives what ONNX Runtime gives, or one that runs it and says why it cannot be exported."""
        name = f"custom:{self.shown}"
        # The graph's numbers are float32 throughout, also where the file has them in half precision.
        whole = given if given.kind == "uint8" else replace(given, kind="float32")
        try:
            made = Prepared(OnnxGraph(model, self.file.input.name, output), whole, lambda found: found, self.shown)
        except InvalidParameter as error:
            return Unexportable(runner, name, str(error))
        pictures = keyed_generator(0, "custom export").integers(0, 256, (2, given.side, given.side, 3), np.uint8)
        expected = runner(pictures)
        try:
            with torch.inference_mode():
                found = made(torch.from_numpy(pictures).permute(0, 3, 1, 2).float()).numpy()
        except (RuntimeError, TypeError, ValueError, IndexError, KeyError, InvalidParameter) as error:
            return Unexportable(runner, name, f"its graph does not run as one of torch: {error}")
        bound = _TOLERANCE * np.abs(expected).max()
        if found.shape != expected.shape or not np.abs(found - expected).max() <= bound:
            return Unexportable(runner, name, "its graph gives other features in torch than in ONNX Runtime")
        return made


class Unexportable(nn.Module):
    """float32 [N, 3, side, side] in 0..255 (RGB) to features float32 [N, D], by ONNX Runtime: no graph of torch."""

    def __init__(self, runner: OnnxRunner, name: str, reason: str) -> None:
        super().__init__()
        self._runner = runner
        self._name = name
        self._reason = reason

    def forward(self, pictures: Tensor) -> Tensor:
        if type(pictures) is not Tensor:  # Somebody follows what is done to it.
            self._refuse()
        batch: Pictures = np.ascontiguousarray(pictures.detach().cpu().permute(0, 2, 3, 1).to(torch.uint8).numpy())
        rows: Floats = self._runner(batch)
        return torch.from_numpy(rows)

    def __deepcopy__(self, memo: Mapping[int, object]) -> Self:
        return self  # It has no state that a copy could change.

    def _refuse(self) -> NoReturn:
        cure = "export the head alone (.safetensors), or train on a network of torch (.pt2, package.module:name)"
        raise InvalidParameter(
            "feature_extractor", self._name, f"cannot be exported as a graph: {self._reason}; {cure}"
        )


def read_model(files: Mapping[str, bytes], shown: str) -> OnnxFile:
    """A model by its files. Raises what `read_onnx` does."""
    return OnnxFile(shown=shown, weights=digest_of(files), file=read_onnx(files, shown))
