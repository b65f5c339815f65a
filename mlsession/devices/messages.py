"""Messages between processes: an object of JSON, and perhaps bytes after it; nothing that could run when it is read.

length of the JSON, 8 bytes, little-endian | JSON | the bytes
"""

from __future__ import annotations

import json

from mlsession.errors import InternalError
from mlsession.session.phase import Json

_PREFIX = 8


def encode_message(head: dict[str, Json], body: bytes = b"") -> bytes:
    """One message; non-finite numbers are kept."""
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(_PREFIX, "little") + text + body


def decode_message(data: bytes) -> tuple[dict[str, Json], bytes]:
    """Reads `encode_message` back. Raises `InternalError` for what it did not write."""
    end = _PREFIX + int.from_bytes(data[:_PREFIX], "little")
    try:
        head = json.loads(data[_PREFIX:end].decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise InternalError(f"another process sent what is no message of mlsession ({error})") from error
    if not isinstance(head, dict):
        raise InternalError("another process sent what is no message of mlsession")
    return head, data[end:]
