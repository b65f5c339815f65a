"""One picture, from wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from typing import IO, TYPE_CHECKING, TypeAlias

from mlsession.errors import InvalidParameter
from mlsession.store import open_store, parent_url, redact, url_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PictureFile: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]"


def read_image(
    source: PictureFile,
    *,
    storage_options: Mapping[str, object] | None = None,
    allow_truncated: bool = False,
    pixel_limit: int | None = None,
) -> npt.NDArray[np.uint8]:
    """The picture in a file: uint8 [H, W, 3], upright, sRGB; of an animation or several pages the first.

    `source` is a path, any URL that fsspec knows, the file's bytes, or a file opened for reading bytes.
    `storage_options` are fsspec's, for a URL. `allow_truncated` takes what there is of a file that is cut short.
    Pictures of `pixel_limit` pixels or more are refused before memory is taken for them: by default 225 million.
    The rules are in docs/images.md; training and predicting read by the same.

    Raises `UnreadableImage` with the reason, which follows from the bytes alone; `KeyMissing` and other `StoreError`s
    where the bytes cannot be had; `InvalidParameter`.
    """
    from mlsession.images.decode import PIXEL_LIMIT, ReadingRules, decode_image

    limit = PIXEL_LIMIT if pixel_limit is None else pixel_limit
    rules = ReadingRules(allow_truncated=allow_truncated, pixel_limit=limit)
    data, name = _bytes_of(source, storage_options)
    return decode_image(data, name, rules)


def read_file(url: str, storage_options: Mapping[str, object] | None = None) -> bytes:
    """The bytes of a file at a path or URL. Raises `KeyMissing` and other `StoreError`s, and `InvalidParameter`."""
    with closing(open_store(parent_url(url), storage_options)) as store:
        return store.get(url_name(url))


def _bytes_of(source: PictureFile, storage_options: Mapping[str, object] | None) -> tuple[bytes, str]:
    """A file's bytes, and what to call it."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), "image"
    if isinstance(source, str | os.PathLike):
        url = os.fspath(source)
        if isinstance(url, str):
            return read_file(url, storage_options), redact(url)
    elif hasattr(source, "read"):
        data = source.read()
        if isinstance(data, bytes):
            name = getattr(source, "name", None)
            return data, name if isinstance(name, str) else "image"
    raise InvalidParameter("source", type(source).__name__, "must be a path, a URL, bytes, or a file opened for bytes")
