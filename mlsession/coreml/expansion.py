"""The operations of a Core ML program that make weights out of fewer bits (`constexpr_...` in MIL), in torch.

Written, as `operations` is, from the published description of the operations of iOS 16 and iOS 18. Core ML runs them
when it loads a model, so here too they run once, when the graph is built. All their numbers are float32 tensors, which
hold what is stored in fewer bits exactly; a number of no axes is Python's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlsession.coreml.blobs import unpacked
from mlsession.coreml.interface import PROGRAM_CURE, WHOLE, unsupported
from mlsession.errors import DamagedData

Operand = Tensor | float


def affine(quantized_data: Tensor, zero_point: Operand, scale: Operand, axis: int) -> Tensor:
    """scale * (data - zero point), of which each is one number, or one for each place on the axis."""

    def along(value: Operand) -> Operand:
        if not isinstance(value, Tensor):
            return value
        shape = [1] * quantized_data.ndim
        shape[axis] = -1
        return value.reshape(shape)

    return along(scale) * (quantized_data - along(zero_point))


def look_up(indices: Tensor, lut: Tensor, shape: Sequence[int] | None = None, vector_axis: int | None = None) -> Tensor:
    """Each index replaced by its entry of a table. iOS 16 packs the indices and says a shape."""
    if shape is not None:
        return _look_up_packed(indices, lut, tuple(shape))
    if lut.ndim != indices.ndim + 2:
        raise DamagedData(WHOLE, f"a table of {lut.ndim} axes for indices of {indices.ndim}")
    if lut.shape[-1] != 1:
        raise unsupported("constexpr_lut_to_dense", "tables of several numbers an entry", PROGRAM_CURE)
    groups = lut.shape[:-2]
    tables = lut[..., 0].reshape(-1, lut.shape[-2])
    table = _spread(torch.arange(len(tables)).reshape(groups), indices.shape, groups)
    _check_indices(indices, lut.shape[-2])
    return tables[table, indices.long()]


def _look_up_packed(indices: Tensor, lut: Tensor, shape: tuple[int, ...]) -> Tensor:
    bits, count = len(lut).bit_length() - 1, math.prod(shape)
    if len(lut) != 2**bits or not 1 <= bits <= 8 or indices.numel() != -(-count * bits // 8):
        raise DamagedData(WHOLE, f"{indices.numel()} bytes of indices and a table of {len(lut)} for {list(shape)}")
    stored = indices.numpy().astype(np.uint8).tobytes()
    return lut[torch.from_numpy(unpacked(stored, count, bits))].reshape(shape)


def blockwise(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    """scale * (data - offset), of which each has one number for each block of the data, along every axis."""
    scales = _spread(scale, data.shape, scale.shape)
    return scales * (data if offset is None else data - _spread(offset, data.shape, offset.shape))


def _spread(values: Tensor, shape: Sequence[int], groups: Sequence[int]) -> Tensor:
    """`values`, one for each of `groups` along the axes of `shape`, repeated to it; axes beyond `shape` stay."""
    if len(groups) != len(shape) or any(
        number < 1 or size % number for size, number in zip(shape, groups, strict=True)
    ):
        raise DamagedData(WHOLE, f"weights of {list(shape)} in {list(groups)} groups")
    for axis, (size, number) in enumerate(zip(shape, groups, strict=True)):
        values = values.repeat_interleave(size // number, axis)
    return values


def _check_indices(indices: Tensor, size: int) -> None:
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < size:
        raise DamagedData(WHOLE, f"an index beyond its table of {size}")


def cast(source_val: Any, output_dtype: str) -> Any:
    if output_dtype != "fp32":
        raise unsupported("constexpr_cast", f"a constant as {output_dtype}", PROGRAM_CURE)
    return source_val


EXPANSIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "constexpr_affine_dequantize": affine,
        "constexpr_blockwise_shift_scale": blockwise,
        "constexpr_cast": cast,
        "constexpr_lut_to_dense": look_up,
    }
)
"""Every operation on constants that is executed, by its name in MIL."""
