"""Datasets in memory as sources: what rows may be, which bytes become of them, and what a session stores."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlsession.data.source import DataSource
from mlsession.data.sources.dataset_rows import image_bytes
from mlsession.errors import InvalidParameter, KeyMissing, StoreDenied, UnusableData
from mlsession.images.decode import decode_image
from mlsession.randomness import keyed_generator
from tests.images.pictures import encoded, exif_orientation, png_chunk, scene
from tests.photos import PHOTOS

PIXELS = keyed_generator(0, "pixels").integers(0, 256, (8, 6, 3)).astype(np.uint8)
ROWS = [(PIXELS, "cat"), (PIXELS[:4], "dog"), (PIXELS[:, :3], "cat")]


class Folder:
    """As torchvision's datasets are: targets are known without an image."""

    classes = ("cat", "dog")

    def __init__(self, targets: object) -> None:
        self.targets = targets
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 3

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        self.asked.append(row)
        return Image.fromarray(ROWS[row][0]), (0, 1, 0)[row]


class Columns:
    """As Hugging Face's datasets are: rows are mappings, and columns are had by name."""

    column_names = ("img", "kind")
    features: Mapping[str, object] = {"img": None, "kind": SimpleNamespace(names=["cat", "dog"])}

    def __len__(self) -> int:
        return 3

    def __getitem__(self, which: int | str) -> Any:
        labels = [0, 1, 0]
        return labels if which == "kind" else {"img": Image.fromarray(ROWS[int(which)][0]), "kind": labels[int(which)]}


def bytes_of(source: DataSource) -> list[bytes]:
    with closing(source.open()) as store:
        return [store.get(key) for key in source.index(min_classes=1).keys]


@pytest.mark.parametrize("targets", [[0, 1, 0], np.array([0, 1, 0]), None])
def test_the_same_rows_in_every_way(targets: object) -> None:
    folder = Folder(targets)
    first = DataSource.dataset(folder)
    assert folder.asked == ([] if targets is not None else [0, 1, 2])
    sources = [
        first,
        DataSource.dataset(Columns(), image="img", label="kind"),
        DataSource.dataset(ROWS),
        DataSource.dataset([{"image": pixels, "label": label} for pixels, label in ROWS]),
        DataSource.dataset([(pixels, int(label == "dog")) for pixels, label in ROWS], classes=["cat", "dog"]),
    ]
    assert len({source.index().digest for source in sources}) == 1
    assert len({tuple(bytes_of(source)) for source in sources}) == 1
    assert sources == [first] * len(sources)
    index = first.index()
    assert index.keys == ("000000000", "000000001", "000000002")
    assert [index.classes[label] for label in index.labels.tolist()] == ["cat", "dog", "cat"]
    assert list(first.labeled_images()) == ["cat", "dog"]


def test_pixels_come_back_exactly() -> None:
    grey = PIXELS[:, :, 0]
    for image, pixels in (
        (PIXELS, PIXELS),
        (grey, np.repeat(grey[:, :, None], 3, axis=2)),
        (grey[:, :, None], np.repeat(grey[:, :, None], 3, axis=2)),
        (PIXELS[::-1, ::2], PIXELS[::-1, ::2]),
        (Image.fromarray(PIXELS), PIXELS),
        (Image.fromarray(PIXELS).convert("RGBA"), PIXELS),
        (Image.fromarray(grey), np.repeat(grey[:, :, None], 3, axis=2)),
    ):
        data = image_bytes(image, 0)
        assert data == image_bytes(image, 1)
        assert np.array_equal(decode_image(data, "x"), pixels)
    assert image_bytes(PIXELS, 0) == image_bytes(Image.fromarray(PIXELS), 0)
    turned = Image.fromarray(PIXELS)
    turned.getexif()[0x0112] = 3
    turned.info["exif"] = turned.getexif().tobytes()
    assert np.array_equal(decode_image(image_bytes(turned, 0), "x"), PIXELS[::-1, ::-1])


def test_what_a_picture_says_of_itself_counts_wherever_its_file_says_it() -> None:
    photo, six = scene(48, 36), exif_orientation(6)
    png = encoded(photo, "PNG")
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    for data, size in (
        (encoded(photo, "JPEG", exif=six), (48, 36)),
        (png[:-12] + png_chunk(b"eXIf", six[6:]) + png[-12:], (48, 36)),  # Behind the pixels.
        (encoded(photo, "JPEG", xmp=xmp), (48, 36)),
        (encoded(photo, "JPEG", dpi=(72, 72), exif=b"Exif\0\0II"), (36, 48)),  # Broken: as if it were absent.
        (encoded(photo, "JPEG", dpi=(72, 72), exif=b"Exif\0\0" + bytes(9)), (36, 48)),
    ):
        expected = decode_image(data, "x")
        assert expected.shape[:2] == size
        with Image.open(io.BytesIO(data)) as opened:
            assert np.array_equal(decode_image(image_bytes(opened, 0), "x"), expected)


def test_files_are_taken_as_they_are(tmp_path: Path) -> None:
    photo = next((PHOTOS / "train" / "Kiwi").iterdir())
    data = photo.read_bytes()
    images = (data, bytearray(data), photo, str(photo), {"bytes": data, "path": "x.jpg"}, {"path": str(photo)})
    assert {image_bytes(image, 0) for image in images} == {data}
    with pytest.raises(UnusableData, match=r"row 3 names '.*gone\.jpg', which is not there"):
        image_bytes(tmp_path / "gone.jpg", 3)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "I", "F", "HSV", "LAB", "PA"]
)
def test_every_mode_of_pillow_is_read_or_refused_by_name(mode: str) -> None:
    try:
        data = image_bytes(Image.new(mode, (5, 4)), 7)
    except UnusableData as error:
        assert "row 7" in str(error)  # noqa: PT017
        assert mode == "PA"
        return
    assert decode_image(data, "x").shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((3, 8, 8), np.float32), r"row 2 has an image that is float32 \[3, 8, 8\].*; leave its transform out"),
        (np.zeros((3, 8, 8), np.uint8), r"uint8 \[3, 8, 8\]"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 \[0, 8, 3\]"),
        (None, "NoneType"),
        ({"bytes": None, "path": None}, "NoneType"),
    ],
)
def test_what_is_no_image(image: object, reason: str) -> None:
    with pytest.raises(UnusableData, match=reason):
        image_bytes(image, 2)


@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        ([], {}, "dataset: it has no rows"),
        ([(PIXELS, 0)], {"classes": ()}, None),
        ([(PIXELS, 2)], {"classes": ["a", "b"]}, "row 0 has the label 2, and there are 2 class names; give classes="),
        ([(PIXELS, -1)], {"classes": ["a", "b"]}, "row 0 has the label -1"),
        ([(PIXELS, 1)], {"classes": ["a", " "]}, "row 0 has the label ' '; a label is text that is not blank"),
        ([(PIXELS, 0.5)], {}, "row 0 has the label 0.5; a label is text that is not blank, or the place"),
        ([(PIXELS, " ")], {}, "row 0 has the label ' '"),
        ([(PIXELS, "\udcff")], {}, "row 0 has the label"),
        ([PIXELS], {}, r"row 0 is a ndarray, and must be \(image, label\) or a mapping"),
        ([{"img": PIXELS, "label": "x"}], {}, r"row 0 has no 'image'; it has 'img', 'label': say which"),
        ([{"image": PIXELS}], {}, "row 0 has no 'label'; it has 'image'"),
    ],
)
def test_wrong_rows_are_named(rows: list[Any], options: dict[str, Any], reason: str | None) -> None:
    if reason is None:
        assert DataSource.dataset(rows, **options).index(min_classes=1).classes == ("0",)
        return
    with pytest.raises(UnusableData, match=reason):
        bytes_of(DataSource.dataset(rows, **options))


def test_what_is_no_dataset() -> None:
    with pytest.raises(InvalidParameter, match="must have a length and give"):
        DataSource.dataset(iter(ROWS))  # type: ignore[arg-type]
    with pytest.raises(UnusableData, match="the only class is 'cat'; add rows of further labels"):
        DataSource.dataset(ROWS[:1]).index()


def test_an_image_that_the_dataset_cannot_give_is_no_skip() -> None:
    class Broken(Folder):
        def __getitem__(self, row: int) -> tuple[Image.Image, int]:
            raise OSError("cannot identify image file")

    class Late(Folder):
        def __getitem__(self, row: int) -> tuple[Image.Image, int]:
            data = next((PHOTOS / "train" / "Kiwi").iterdir()).read_bytes()
            return Image.open(io.BytesIO(data[: len(data) // 2])), 0

    reasons = {Broken: "row 0 cannot be had .OSError: cannot identify", Late: "row 0 has an image that its"}
    for kind, reason in reasons.items():
        with pytest.raises(UnusableData, match=reason):
            bytes_of(DataSource.dataset(kind([0, 1, 0])))


def test_the_store_is_only_read() -> None:
    with closing(DataSource.dataset(ROWS).open()) as store:
        for key in ("000000003", "1", "00000000a", "000000000.jpg", "\u06600000000"):
            with pytest.raises(KeyMissing):
                store.get(key)
        for write in (store.put, store.put_if_absent):
            with pytest.raises(StoreDenied):
                write("000000000", b"")
        with pytest.raises(StoreDenied):
            store.delete("000000000")
        assert [entry.key for entry in store.list()] == ["000000000", "000000001", "000000002"]
        assert store.get_range("000000000", 0, 2) == b"P6"


def test_what_is_stored_can_be_shown_and_not_listed() -> None:
    source = DataSource.dataset(ROWS)
    again = DataSource.from_json(source.to_json())
    assert again == source
    assert repr(again) == repr(source)
    for use in (again.index, again.open, lambda: again.stratified_split([1.0])):
        with pytest.raises(UnusableData, match=r"the dataset of 3 images \(cat, dog\): it lives in the memory of"):
            use()
    assert DataSource.dataset(ROWS[:2]) != source


def test_a_part_as_torch_makes_it_has_the_names_of_the_whole() -> None:
    class Subset:
        dataset = Folder([0, 1, 0])

        def __len__(self) -> int:
            return 2

        def __getitem__(self, row: int) -> tuple[Image.Image, int]:
            return self.dataset[(2, 1)[row]]

    part = DataSource.dataset(Subset())
    assert part.index().classes == ("cat", "dog")
    assert bytes_of(part) == [image_bytes(ROWS[row][0], 0) for row in (2, 1)]


def test_parts_of_a_dataset_are_datasets() -> None:
    rows = [(PIXELS[: 1 + row], "cat" if row % 2 else "dog") for row in range(8)]
    source = DataSource.dataset(rows)
    train, test = source.stratified_split([0.5, 0.5], seed=3)
    assert sorted(bytes_of(train) + bytes_of(test)) == sorted(bytes_of(source))
    assert train.index().class_counts.tolist() == test.index().class_counts.tolist() == [2, 2]
    expected = {image_bytes(pixels, 0): label for pixels, label in rows}
    for part in (train, test, *test.stratified_split([0.5, 0.5])):
        index = part.index()
        assert [expected[data] for data in bytes_of(part)] == [index.classes[label] for label in index.labels.tolist()]
    one, two = DataSource.dataset(rows[:4] * 2).stratified_split([0.5, 0.5], by="content")
    assert set(bytes_of(one)).isdisjoint(bytes_of(two))
