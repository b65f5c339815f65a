"""A checkpoint of torch as arrays and JSON: nothing in it can run code when it is read back.

    arrays, tree = flatten(checkpoint)
    inflate(tree, arrays)                  # equal to the checkpoint, on the CPU

Dictionaries (with any plain keys, in order), lists, tuples, tensors, numpy arrays and plain values are all that is
taken; anything else is an error that names the place where it lies.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.session.phase import Array, Arrays, Json

_PLAIN = (bool, int, float, str, type(None))
_AS_BITS: Mapping[torch.dtype, torch.dtype] = MappingProxyType(
    {torch.bfloat16: torch.uint16, torch.float8_e4m3fn: torch.uint8, torch.float8_e5m2: torch.uint8}
)
"""Numbers that numpy has not, and what has as many bits."""
_DTYPES: Mapping[str, torch.dtype] = MappingProxyType({str(dtype): dtype for dtype in _AS_BITS})
_METADATA = "_metadata"
"""What torch remembers of the modules in a state, beside its tensors: their versions."""


def flatten(value: object) -> tuple[dict[str, Array], Json]:
    """Arrays by name, in memory of their own, and the tree that says where they belong.

    Raises `InvalidParameter` that names the first leaf that is neither an array nor a plain value.
    """
    arrays: dict[str, Array] = {}
    return arrays, _flat(value, "checkpoint", arrays)


def inflate(tree: Json, arrays: Arrays) -> object:
    """What `flatten` was given; tensors on the CPU, in memory of their own. Raises `DamagedData`."""
    if isinstance(tree, dict) and len(tree) in (1, 2):
        for kind, build in _BUILDERS.items():
            if kind in tree:
                return build(tree, arrays)
    if isinstance(tree, _PLAIN):
        return tree
    raise DamagedData("checkpoint", "its tree is none that was written")


def _flat(value: object, place: str, arrays: dict[str, Array]) -> Json:
    # Exactly these types: of a subclass more would be lost than is kept.
    if type(value) in _PLAIN:
        return value  # type: ignore[return-value]  # One of them, as was just seen.
    if type(value) is list or type(value) is tuple:
        kind = type(value).__name__
        return {kind: [_flat(each, f"{place}[{number}]", arrays) for number, each in enumerate(value)]}
    if type(value) is dict:
        return {"dict": _items(value, place, arrays)}
    if type(value) is Counter:  # The milestones of a schedule of learning rates.
        return {"counter": _items(value, place, arrays)}
    if type(value) is OrderedDict:
        metadata = getattr(value, _METADATA, None)
        node: dict[str, Json] = {"ordered": _items(value, place, arrays)}
        return node if metadata is None else {**node, _METADATA: _flat(metadata, f"{place}.{_METADATA}", arrays)}
    if type(value) is torch.Size:
        return {"size": list(value)}
    if isinstance(value, torch.Tensor):
        return _flat_tensor(value, place, arrays)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return {kind: _named(np.array(value), place, arrays)}
    raise InvalidParameter(
        place,
        type(value).__name__,
        "a session stores arrays and plain values (str, int, float, bool, None, dict, list, tuple), and nothing whose "
        "reading could run code; keep something of these in its place",
    )


def _items(value: Mapping[object, object], place: str, arrays: dict[str, Array]) -> list[Json]:
    """[[key, value], ...]; a key is a plain value or a tuple of such."""
    return [
        [_flat(key, f"{place}: the key {key!r}", {}), _flat(each, f"{place}[{key!r}]", arrays)]
        for key, each in value.items()
    ]


def _flat_tensor(value: torch.Tensor, place: str, arrays: dict[str, Array]) -> Json:
    if value.layout != torch.strided or value.is_quantized or value.is_complex():
        raise InvalidParameter(place, str(value.dtype), "only dense tensors of real numbers can be stored")
    # A copy, whatever the strides: the training goes on in the tensor's own memory.
    dense = value.detach().to("cpu", copy=True).contiguous()
    bits = _AS_BITS.get(dense.dtype)
    name = _named((dense if bits is None else dense.view(bits)).numpy(), place, arrays)
    return {"tensor": name} if bits is None else {"tensor": name, "dtype": str(dense.dtype)}


def _named(array: Array, place: str, arrays: dict[str, Array]) -> str:
    # The number tells places apart that are spelled alike.
    name = f"{len(arrays):05d} {place}"
    arrays[name] = array
    return name


def _node(tree: dict[str, Json], arrays: Arrays, kind: str) -> Array:
    name = tree[kind]
    if not isinstance(name, str) or name not in arrays:
        raise DamagedData("checkpoint", f"an array of its tree is missing: {name!r}")
    return arrays[name]


def _tensor(tree: dict[str, Json], arrays: Arrays) -> torch.Tensor:
    tensor, dtype = torch.from_numpy(np.array(_node(tree, arrays, "tensor"))), tree.get("dtype")
    if dtype is None:
        return tensor
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise DamagedData("checkpoint", f"this version of mlsession has no numbers of {dtype!r}")
    return tensor.view(_DTYPES[dtype])


def _list(tree: dict[str, Json], arrays: Arrays, kind: str) -> list[object]:
    members = tree[kind]
    if not isinstance(members, list):
        raise DamagedData("checkpoint", f"its tree has no members where a {kind} is")
    return [inflate(each, arrays) for each in members]


def _dict(tree: dict[str, Json], arrays: Arrays, kind: str) -> dict[object, object]:
    pairs = tree[kind]
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise DamagedData("checkpoint", "its tree has no keys and values where a dictionary is")
    return {inflate(pair[0], arrays): inflate(pair[1], arrays) for pair in pairs}  # type: ignore[index]


def _ordered(tree: dict[str, Json], arrays: Arrays) -> OrderedDict[object, object]:
    ordered = OrderedDict(_dict(tree, arrays, "ordered"))
    if _METADATA in tree:
        setattr(ordered, _METADATA, inflate(tree[_METADATA], arrays))
    return ordered


_BUILDERS: Mapping[str, Callable[[dict[str, Json], Arrays], object]] = MappingProxyType(
    {
        "dict": lambda tree, arrays: _dict(tree, arrays, "dict"),
        "ordered": _ordered,
        "counter": lambda tree, arrays: Counter(_dict(tree, arrays, "counter")),
        "list": lambda tree, arrays: _list(tree, arrays, "list"),
        "tuple": lambda tree, arrays: tuple(_list(tree, arrays, "tuple")),
        "size": lambda tree, arrays: torch.Size(tree["size"]),  # type: ignore[arg-type]
        "tensor": _tensor,
        "array": lambda tree, arrays: np.array(_node(tree, arrays, "array")),
        "number": lambda tree, arrays: _node(tree, arrays, "number")[()],
    }
)
