"""The operators of ONNX that give tensors other shapes, or make the shapes: of tensors, and of whole numbers as tuples.

As `operators`, of which they are a part.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

from mlsession.errors import InvalidParameter

Whole: TypeAlias = tuple[int, ...]

_FLOATS = (1, 10, 11, 16)
"""The types float32, float16, float64 and bfloat16, by ONNX's numbers."""


def refuse(operator: str, is_other: bool, what: str) -> None:
    """Raises `InvalidParameter` where an operator has a form that is not converted."""
    if is_other:
        raise InvalidParameter("ONNX graph", operator, f"mlsession cannot convert one {what}")


def reshape(x: Any, shape: Whole, *, allowzero: int = 0) -> Any:
    if not isinstance(x, Tensor):
        return x if shape else x[0]
    refuse("Reshape", bool(allowzero) and 0 in shape, "with sizes of 0")
    return x.reshape([x.shape[place] if type(size) is int and size == 0 else size for place, size in enumerate(shape)])


def cut(x: Any, starts: Whole, ends: Whole, axes: Whole | None = None, steps: Whole | None = None) -> Any:
    if not isinstance(x, Tensor):
        return x[starts[0] : ends[0] : 1 if steps is None else steps[0]]
    sections = [slice(None)] * x.ndim
    for place, axis in enumerate(range(len(starts)) if axes is None else axes):
        step = 1 if steps is None else steps[place]
        refuse("Slice", step < 1, "that runs backwards")
        sections[axis] = slice(starts[place], ends[place], step)
    return x[tuple(sections)]


def gather(x: Any, indices: Any, *, axis: int = 0) -> Any:
    if not isinstance(x, Tensor):
        return x[indices] if isinstance(indices, int) else tuple(x[each] for each in indices)
    if isinstance(indices, int):
        return x.select(axis, indices)
    return torch.cat([x.narrow(axis, each % x.shape[axis], 1) for each in indices], dim=axis)


def split(x: Tensor, sizes: Whole | None = None, *, axis: int = 0, num_outputs: int = 2) -> list[Tensor]:
    if sizes is not None:
        return list(torch.split(x, list(sizes), axis))
    return list(torch.split(x, -(-x.shape[axis] // num_outputs), axis))


def concat(*parts: Any, axis: int) -> Any:
    if all(isinstance(part, Tensor) for part in parts):
        return torch.cat(parts, axis)
    refuse("Concat", any(isinstance(part, Tensor) for part in parts), "of sizes with numbers")
    return tuple(each for part in parts for each in part)


def squeeze(x: Any, axes: Whole | None = None) -> Any:
    if isinstance(x, Tensor):
        return x.squeeze() if axes is None else x.squeeze(axes)
    return x[0]


def unsqueeze(x: Any, axes: Whole) -> Any:
    if not isinstance(x, Tensor):
        return (x,) if not isinstance(x, tuple) else x
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def cast_to(x: Any, *, to: int, saturate: int = 1) -> Any:
    refuse("Cast", isinstance(x, Tensor) and to not in _FLOATS, "to whole numbers")
    return x.float() if isinstance(x, Tensor) else x


def constant(*, value: Any = None, value_float: float | None = None, **whole: Any) -> Any:
    if value_float is not None:
        return value_float
    found = [value, *whole.values()]
    return next(each for each in found if each is not None)
