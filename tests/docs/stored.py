"""The stored forms of docs/format.md, read and written without mlsession: JSON, records, arrays (chapters 3, 4, 8)."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

Object = dict[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]

DEEPEST = 64
DIGEST = re.compile(rb',"digest":"([0-9a-f]{64})"')
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
DTYPES = {
    "BOOL": "?",
    **{f"{kind}{8 * size}": f"<{letter}{size}" for kind, letter in (("I", "i"), ("U", "u")) for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}


class Damaged(Exception):
    """Bytes that are missing, or not those that were written; `key` names them."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# Chapter 3: canonical JSON


def parse(data: bytes, key: str) -> Any:
    """The value that canonical JSON stands for, in format 1."""
    return decoded(parse_spelled(data, key), key)


def parse_spelled(data: bytes, key: str) -> Any:
    """The JSON as it is spelled, with names that begin with "$", which a later format may have for anything."""
    try:
        return json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Damaged(key, "not JSON") from error


def decoded(value: Any, key: str) -> Any:
    """The value that a spelling stands for: one kind of object is a number."""
    try:
        return _decoded(value, 0)
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(key, "not a value of format 1") from error


def _decoded(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError("too deep")
    if isinstance(value, str):
        value.encode()
    if isinstance(value, list):
        return [_decoded(item, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["$float"]:
        return NON_FINITE[value["$float"]]
    for name in value:
        name.encode()
        if name.startswith("$"):
            raise ValueError(f"{name} means nothing")
    return {name: _decoded(item, depth + 1) for name, item in value.items()}


def spelled(value: Any) -> str:
    """The canonical form, from the rules alone."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _spelled_float(value)
        case str():
            return '"' + "".join(map(_spelled_letter, value)) + '"'
        case dict():
            return "{" + ",".join(f"{spelled(name)}:{spelled(value[name])}" for name in sorted(value)) + "}"
        case _:
            return "[" + ",".join(map(spelled, value)) + "]"


def _spelled_letter(letter: str) -> str:
    if letter in ESCAPES:
        return ESCAPES[letter]
    if " " <= letter <= "~":
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _spelled_float(value: float) -> str:
    if not math.isfinite(value):
        name = "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
        return f'{{"$float":"{name}"}}'
    sign, figures, power = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, figures)).rstrip("0") or "0"
    assert isinstance(power, int)
    exponent = len(figures) + power - 1 if value else 0
    minus = "-" if sign else ""
    if not -4 <= exponent < 16:
        fraction = "." + digits[1:] if len(digits) > 1 else ""
        return f"{minus}{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{minus}0.{'0' * (-exponent - 1)}{digits}"
    return f"{minus}{digits[: exponent + 1].ljust(exponent + 1, '0')}.{digits[exponent + 1 :] or '0'}"


# Chapter 4: records


def sealed(members: Object) -> bytes:
    """The bytes of a record: its members, and the digest of their canonical form."""
    return spelled({**members, "digest": sha256(spelled(members).encode())}).encode()


def is_sealed(data: bytes) -> bool:
    """Whether the digest is that of the bytes without the digest member; no number is spelled anew for that."""
    depth = 0
    for token in TOKEN.finditer(data):
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and token[0] == b'"digest"':
            member = DIGEST.match(data, token.start() - 1)
            return member is not None and sha256(data[: member.start()] + data[member.end() :]) == member[1].decode()
    return False


# Chapter 8: arrays


def arrays_of(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a safetensors file by name, and its metadata."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    arrays: dict[str, Array] = {}
    for name, about in header.items():
        first, last = (8 + length + offset for offset in about["data_offsets"])
        arrays[name] = np.frombuffer(data[first:last], dtype=DTYPES[about["dtype"]]).reshape(about["shape"])
    return arrays, metadata


def bytes_of(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file of float64 arrays."""
    header: Object = {"__metadata__": dict(metadata)}
    body = b""
    for name, array in arrays.items():
        data = array.astype("<f8").tobytes()
        header[name] = {"dtype": "F64", "shape": array.shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def table_of(arrays: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> Array:
    """Chapter 12: a table that is stored by its cells that are not zero."""
    places = arrays[f"{name}.places"].astype(np.int64)
    assert (np.diff(places) > 0).all()
    table = np.zeros(math.prod(shape), dtype=np.int64)
    table[places] = arrays[f"{name}.counts"]
    return table.reshape(shape)


def score_bin(probability: float) -> int:
    """Chapter 12: the bin of a probability."""
    kept = min(probability, 1.0)
    leading = int.from_bytes(struct.pack(">d", kept if kept < 0.5 else 1.0 - kept)[:2], "big")
    place = min(max(leading - 15_840, 0), 511)
    return place if kept < 0.5 else 1_023 - place


def tensor_digest(tensors: Mapping[str, Array]) -> str:
    """Chapter 12: the digest of a model."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        shape = ",".join(map(str, tensors[name].shape))
        digest.update(f"{name}\0{tensors[name].dtype.name}\0{shape}\0".encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
