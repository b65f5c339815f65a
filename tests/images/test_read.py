from __future__ import annotations

import io
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.errors import InvalidParameter, KeyMissing, UnreadableImage
from mlsession.images.decode import PIXEL_LIMIT, ReadingRules, prepare_image
from mlsession.store import open_store
from tests.images.pictures import encoded, heic, noisy, png_claiming, scene

DATA = encoded(scene(), "PNG")


class TestSources:
    def same(self, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bool:
        return pixels.dtype == np.uint8 and np.array_equal(pixels, np.asarray(scene()))

    def test_a_path(self, tmp_path: Path) -> None:
        path = tmp_path / "größe #1%.png"
        path.write_bytes(DATA)
        assert self.same(ml.read_image(path))
        assert self.same(ml.read_image(str(path)))

    def test_bytes(self) -> None:
        for data in (DATA, bytearray(DATA), memoryview(DATA)):
            assert self.same(ml.read_image(data))

    def test_an_open_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(DATA)
        with (tmp_path / "a.png").open("rb") as file:
            assert self.same(ml.read_image(file))
        assert self.same(ml.read_image(io.BytesIO(DATA)))

    def test_urls(self, tmp_path: Path) -> None:
        with closing(open_store("memory://read-image")) as store:
            store.put("cats/a.png", DATA)
        assert self.same(ml.read_image("memory://read-image/cats/a.png"))
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.writestr("cats/a.png", DATA)
        assert self.same(ml.read_image(f"zip://cats/a.png::{tmp_path / 'all.zip'}", storage_options={}))

    def test_what_is_not_there_is_no_unreadable_image(self, tmp_path: Path) -> None:
        with pytest.raises(KeyMissing):
            ml.read_image(tmp_path / "gone.png")

    @pytest.mark.parametrize("source", [7, None, io.StringIO("text"), ["a.png"]])
    def test_other_sources(self, source: object) -> None:
        with pytest.raises(InvalidParameter, match="must be a path, a URL, bytes, or a file opened for bytes"):
            ml.read_image(source)  # type: ignore[arg-type]

    def test_the_error_names_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "notes.png").write_bytes(b"text")
        with pytest.raises(UnreadableImage) as caught:
            ml.read_image(tmp_path / "notes.png")
        assert caught.value.path == str(tmp_path / "notes.png")
        assert str(caught.value) == f"{caught.value.path}: {caught.value.reason}"
        with (
            (tmp_path / "notes.png").open("rb") as file,
            pytest.raises(UnreadableImage, match=r"notes\.png: it is"),
        ):
            ml.read_image(file)

    def test_credentials_in_a_url_are_not_shown(self) -> None:
        with closing(open_store("memory://user:secret@host/photos")) as store:
            store.put("a.png", b"text")
        with pytest.raises(UnreadableImage) as caught:
            ml.read_image("memory://user:secret@host/photos/a.png")
        assert "secret" not in str(caught.value)


class TestPixelLimit:
    def test_the_default_is_as_documented(self) -> None:
        assert PIXEL_LIMIT == 225_000_000
        with pytest.raises(UnreadableImage, match="15000x15000 pixels, and 225,000,000 or more are refused"):
            ml.read_image(png_claiming(15_000, 15_000))

    def test_it_can_be_another(self) -> None:
        assert ml.read_image(DATA, pixel_limit=120 * 80 + 1).shape == (80, 120, 3)
        with pytest.raises(UnreadableImage, match="too large: 120x80 pixels, and 9,600 or more are refused"):
            ml.read_image(DATA, pixel_limit=120 * 80)
        with pytest.raises(UnreadableImage, match=r"damaged|cut short"):
            ml.read_image(png_claiming(15_000, 15_000), pixel_limit=10**9)

    @pytest.mark.parametrize("limit", [0, -1, 1.5, True, "9"])
    def test_nonsense(self, limit: object) -> None:
        with pytest.raises(InvalidParameter, match="pixel_limit"):
            ml.read_image(DATA, pixel_limit=limit)  # type: ignore[arg-type]


PARTS: tuple[tuple[str, dict[str, object], int | None], ...] = (
    ("JPEG", {}, 128),
    ("PNG", {}, 0),
    ("GIF", {"interlace": 0}, None),
    ("BMP", {}, 0),
    ("TIFF", {}, 0),
    ("PPM", {}, 0),
    ("TGA", {}, 0),
)
"""Formats of which a part can be had, and the grey of what is missing, where it is not the palette's."""


class TestTruncated:
    @pytest.mark.parametrize(("kind", "options", "missing"), PARTS)
    def test_what_is_there_is_as_it_was(self, kind: str, options: dict[str, object], missing: int | None) -> None:
        whole = encoded(noisy(), kind, **options)
        full, cut = ml.read_image(whole), whole[: len(whole) * 6 // 10]
        with pytest.raises(UnreadableImage, match="cut short"):
            ml.read_image(cut)
        pixels = ml.read_image(cut, allow_truncated=True)
        flip = slice(None, None, -1 if kind in ("BMP", "TGA") else 1)  # These begin with the lowest row.
        assert np.array_equal(pixels[flip][:40], full[flip][:40])
        assert missing is None or (np.abs(pixels[flip][-30:].astype(int) - missing) <= 1).all()

    def test_a_transparent_picture_is_white_where_it_is_missing(self) -> None:
        whole = encoded(noisy().convert("RGBA"), "PNG")
        pixels = ml.read_image(whole[: len(whole) // 2], allow_truncated=True)
        assert np.array_equal(pixels[:40], np.asarray(noisy())[:40])
        assert (pixels[-20:] == 255).all()

    def test_only_the_end_marker_is_missing(self) -> None:
        whole = encoded(noisy(), "JPEG")
        assert np.array_equal(ml.read_image(whole[:-2], allow_truncated=True), ml.read_image(whole))

    @pytest.mark.parametrize("kind", [kind for kind, _, _ in PARTS])
    def test_sound_files_are_the_same(self, kind: str) -> None:
        whole = encoded(noisy(), kind) + b"more"
        assert np.array_equal(ml.read_image(whole, allow_truncated=True), ml.read_image(whole))

    @pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000", "HEIC"])
    def test_of_some_a_part_cannot_be_had(self, kind: str) -> None:
        whole = heic(noisy()) if kind == "HEIC" else encoded(noisy(), kind)
        with pytest.raises(UnreadableImage):
            ml.read_image(whole[: len(whole) // 2], allow_truncated=True)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            bytes(500),
            encoded(noisy(), "JPEG")[:200],
            encoded(noisy(), "PNG")[:60],
            encoded(noisy(), "BMP")[:54],
            encoded(noisy(), "PNG").replace(b"IDAT", b"IDAT\7", 1),
            b"<html></html>",
        ],
    )
    def test_nothing_is_made_of_nothing(self, data: bytes) -> None:
        with pytest.raises(UnreadableImage):
            ml.read_image(data, allow_truncated=True)

    def test_it_is_a_yes_or_no(self) -> None:
        with pytest.raises(InvalidParameter, match="allow_truncated"):
            ml.read_image(DATA, allow_truncated=1)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("kind", "options", "missing"), PARTS)
    def test_networks_see_the_same_part(self, kind: str, options: dict[str, object], missing: int | None) -> None:
        whole = encoded(noisy(128, 128), kind, **options)
        rules = ReadingRules(allow_truncated=True)
        assert prepare_image(whole[: len(whole) * 6 // 10], "a", 32, rules).shape == (32, 32, 3)
        with pytest.raises(UnreadableImage):
            prepare_image(whole[: len(whole) * 6 // 10], "a", 32)
