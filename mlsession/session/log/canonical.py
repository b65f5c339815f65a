"""One spelling for every JSON value, so that a digest means something.

Canonical form: UTF-8 without whitespace, keys sorted, non-ASCII escaped, floats in their shortest exact spelling,
and non-finite floats as `{"$float": "nan" | "inf" | "-inf"}`, because JSON has no word for them. Keys that begin
with "$" are reserved for that.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import NoReturn

from mlsession.errors import DamagedData, InternalError
from mlsession.session.phase import Json

MAX_DEPTH = 64
_FLOAT = "$float"
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: object) -> bytes:
    """The canonical form of a JSON value. Raises `InternalError` for what is not one."""
    try:
        return spell(spelling(value))
    except ValueError as error:  # Of whole numbers Python writes only so many digits.
        raise InternalError(f"a value cannot be stored as JSON: {error}") from error


def spelling(value: object) -> Json:
    """How a JSON value is spelled: plain JSON, for `spell`. Raises `InternalError` for what is not a JSON value."""
    try:
        return _encode(value, 0)
    except ValueError as error:
        raise InternalError(f"a value cannot be stored as JSON: {error}") from error


def parse_json(data: bytes, key: str) -> Json:
    """Reads canonical JSON back. Raises `DamagedData` naming `key` for anything else, hostile input included."""
    value = parse_spelled(data, key)
    # Long lists without odd numbers and foreign letters mean what they spell.
    if b"$" not in data and b"\\u" not in data and not _is_deeper(value, MAX_DEPTH):
        return value
    return decode_spelled(value, key)


def parse_spelled(data: bytes, key: str) -> Json:
    """The JSON as it is spelled, names that begin with "$" untouched: what any format of ours can be read as.

    Raises `DamagedData` for what is not JSON in canonical spelling.
    """
    try:
        value: Json = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
        is_canonical = spell(value) == data
    except (ValueError, RecursionError) as error:
        raise DamagedData(key, f"not the JSON that was written ({type(error).__name__})") from error
    if not is_canonical:
        # Another spelling of the same value (a repeated key, another float) is a change all the same.
        raise DamagedData(key, "not spelled as it was written")
    return value


def decode_spelled(value: Json, key: str) -> Json:
    """The value that a spelling stands for. Raises `DamagedData` for a name with "$" that format 1 has not."""
    try:
        return _decode(value, 0)
    except (ValueError, RecursionError) as error:
        raise DamagedData(key, f"not the JSON that was written ({type(error).__name__})") from error


def spell(value: Json) -> bytes:
    """The canonical bytes of what is spelled already."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def parse_object(data: bytes, key: str) -> dict[str, Json]:
    """Like `parse_json`, for a JSON object."""
    value = parse_json(data, key)
    if not isinstance(value, dict):
        raise DamagedData(key, "a JSON object was expected")
    return value


def _encode(value: object, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise InternalError(f"a stored value is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        return _unicode(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: _name_of(value)}
    if isinstance(value, Mapping):
        return {_checked_key(key): _encode(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item, depth + 1) for item in value]
    raise InternalError(f"a {type(value).__name__} cannot be stored as JSON")


def _decode(value: Json, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        if _FLOAT in value:
            name = value[_FLOAT]
            is_known = len(value) == 1 and isinstance(name, str) and name in _NON_FINITE
            return _NON_FINITE[str(name)] if is_known else _refuse_constant(_FLOAT)
        return {_unicode(_plain_key(key)): _decode(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item, depth + 1) for item in value]
    return _unicode(value) if isinstance(value, str) else value


def _is_deeper(value: Json, depth: int) -> bool:
    """Whether anything in a value lies in more than `depth` lists and objects."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(depth):
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, (dict, list))
        ]
    return any(level)


def _name_of(value: float) -> str:
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _checked_key(key: object) -> str:
    if not isinstance(key, str) or key.startswith("$"):
        raise InternalError(f"{key!r} cannot be a key of stored JSON")
    return _unicode(key)


def _plain_key(key: str) -> str:
    if key.startswith("$"):
        raise ValueError(f"{key} has no meaning")
    return key


def _unicode(text: str) -> str:
    """The text, unless it holds half a surrogate pair: other languages' parsers refuse that (ValueError)."""
    if not text.isascii():
        text.encode()
    return text


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")
