"""How large a picture says that it is; nothing is decoded."""

from __future__ import annotations

import io

from mlsession.images.faults import PARSE_ERRORS, refusal
from mlsession.images.formats import recognized
from mlsession.images.quiet import silence_remarks


def picture_size(data: bytes, name: str) -> tuple[int, int]:
    """Pixels across and down of the picture in `data`, as stored; whether the rest of it can be read is not looked at.

    `name` is used in errors only. Raises `UnreadableImage` for what is not a picture, or of a kind that is not read.
    """
    kind, content = recognized(data, name)
    silence_remarks()
    try:
        with kind.reader(io.BytesIO(content)) as image:
            return image.size
    except PARSE_ERRORS as error:
        raise refusal(error, name, kind.name, data) from error
