"""ONNX files run by ONNX Runtime on the CPU, in the thread that calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnxruntime

from mlsession.errors import InvalidParameter
from mlsession.extractors.custom.input import PictureInput

Floats: TypeAlias = npt.NDArray[np.float32]
Pictures: TypeAlias = npt.NDArray[np.uint8]


class OnnxRunner:
    """float32 [N, D] of uint8 [N, side, side, 3] (RGB). Belongs to one thread at a time."""

    def __init__(self, model: bytes, source: str, wanted: str, given: PictureInput, shown: str) -> None:
        """`source` and `wanted` name the model's input and output; `shown` is the file, for messages.

        Raises `InvalidParameter` for a model that ONNX Runtime cannot load.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 4  # What fails is raised as well.
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its classes are made by a binding, and share nothing but this
            raise InvalidParameter("model_path", shown, f"ONNX Runtime cannot load it: {_first_line(error)}") from error
        self._source, self._wanted, self._given, self._shown = source, wanted, given, shown
        self._mean, self._std = (np.array(values, np.float32) for values in (given.mean, given.std))

    def __call__(self, batch: Pictures) -> Floats:
        values = self.values(batch)
        return values.reshape(len(values), -1)

    def values(self, batch: Pictures) -> Floats:
        """The output as the model gives it, float32 [N, ...]. Raises `InvalidParameter` where it fails."""
        return in_batches(self._run, self._prepared(batch), self._given.batch)

    def _prepared(self, batch: Pictures) -> npt.NDArray[Any]:
        given = self._given
        last = given.first + given.network_side
        centre = batch[:, given.first : last, given.first : last]
        centre = centre if given.channels == "RGB" else centre[..., ::-1]
        scaled: npt.NDArray[Any] = centre
        if given.kind != "uint8":
            numbers = (centre.astype(np.float32) * np.float32(given.scale) - self._mean) / self._std
            scaled = numbers.astype(given.kind, copy=False)
        return np.ascontiguousarray(scaled if given.layout == "NHWC" else scaled.transpose(0, 3, 1, 2))

    def _run(self, pictures: npt.NDArray[Any]) -> npt.NDArray[Any]:
        try:
            (found,) = self._session.run([self._wanted], {self._source: pictures})
        except Exception as error:
            raise InvalidParameter("model_path", self._shown, f"ONNX Runtime: {_first_line(error)}") from error
        if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
            kind = found.dtype.name if isinstance(found, np.ndarray) else type(found).__name__
            reason = f"{self._shown} gives {kind} there, not floating-point numbers; name another"
            raise InvalidParameter("output_name", self._wanted, reason)
        return found.astype(np.float32, copy=False)


def in_batches(
    run: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], pictures: npt.NDArray[Any], size: int | None
) -> npt.NDArray[Any]:
    """Runs a network that takes `size` pictures at once, or any number (None), on all of them; fills up with zeros."""
    if size is None or size == len(pictures):
        return run(pictures)
    parts: list[npt.NDArray[Any]] = []
    for start in range(0, len(pictures), size):
        part = pictures[start : start + size]
        missing = size - len(part)
        filled = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)]) if missing else part
        parts.append(run(filled)[: len(part)])
    return np.concatenate(parts)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
