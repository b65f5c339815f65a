"""What a PNG says besides its picture is no reason to refuse it, however long it is."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from mlsession.images.decode import decode_image, inspect_image
from mlsession.images.png import MOST_BYTES, without_remarks
from tests.images.pictures import encoded, png_chunk, scene

LONG = b"a" * (MOST_BYTES + 1)


def with_chunk(data: bytes, kind: bytes, content: bytes, at: int = 33) -> bytes:
    """The file with a chunk more: behind its header, or before its end."""
    return data[:at] + png_chunk(kind, content) + data[at:]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"zTXt", b"Comment\0\0" + zlib.compress(LONG)),
        (b"tEXt", b"Comment\0" + LONG),
        (b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(LONG)),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LONG)),
        (b"iCCP", b"ICC\0\0" + zlib.compress(LONG)),
    ],
)
def test_a_long_remark_changes_nothing(kind: bytes, content: bytes) -> None:
    plain = encoded(scene(), "PNG")
    expected = decode_image(plain, "a")
    np.testing.assert_array_equal(decode_image(with_chunk(plain, kind, content), "a"), expected)
    if kind != b"iCCP":
        np.testing.assert_array_equal(decode_image(with_chunk(plain, kind, content, at=-12), "a"), expected)


def test_many_remarks_change_nothing() -> None:
    plain = encoded(scene(), "PNG")
    texts = png_chunk(b"tEXt", b"Comment\0" + b"b" * 900_000) * 80
    np.testing.assert_array_equal(decode_image(plain[:33] + texts + plain[33:], "a"), decode_image(plain, "a"))


def test_what_counts_is_kept() -> None:
    info = PngImagePlugin.PngInfo()
    turned = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    info.add_itxt("XML:com.adobe.xmp", turned)
    info.add_text("Comment", "left out")
    buffer = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    scene().save(buffer, "PNG", pnginfo=info, icc_profile=profile)
    left = without_remarks(buffer.getvalue())
    assert len(left) < len(buffer.getvalue())
    assert b"left out" not in left
    with Image.open(io.BytesIO(left)) as image:
        assert image.info["icc_profile"] == profile
    assert inspect_image(buffer.getvalue(), "a").orientation == 6


def test_a_file_without_remarks_is_not_copied() -> None:
    plain = encoded(scene(), "PNG")
    assert without_remarks(plain) is plain
    cut = with_chunk(plain, b"tEXt", LONG)[:200]
    assert without_remarks(cut) is cut
