"""How large training images are: looked at in their files, wherever the features came from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import mlsession as ml
from mlsession.data.index import ImageIndex
from mlsession.errors import DamagedData
from mlsession.phases.evaluated import short_sides_of
from mlsession.session.phase import Phase, PhaseState
from mlsession.training.classifier import Classifier
from mlsession.training.findings.evidence import small_images
from mlsession.training.images.short_sides import LARGE_BYTES, MOST_FILES, sampled_short_sides
from tests.training.conftest import Start

Written = Callable[..., tuple[ImageIndex, ml.DataSource]]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Pictures of some sizes (width, height), as an index and its source; () is a file that is no picture."""

    def write(*sizes: tuple[int, int] | tuple[()], ending: str = "png") -> tuple[ImageIndex, ml.DataSource]:
        for place, size in enumerate(sizes):
            path = tmp_path / "written" / "ab"[place % 2] / f"{place:05}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if size:
                Image.new("L", size, place % 256).save(path)
            else:
                path.write_bytes(b"no picture")
        source = ml.DataSource.labeled_directories(tmp_path / "written")
        return source.index(), source

    return write


def test_of_few_images_all_are_looked_at(written: Written) -> None:
    index, source = written((31, 400), (), (64, 64), (90, 63), ending="jpg")
    assert sampled_short_sides(index, source) == (31, 64, 63)


def test_of_many_images_some_are(written: Written) -> None:
    count = 5 * MOST_FILES
    index, source = written(*((20 + row, 500) for row in range(count)))
    sides = sampled_short_sides(index, source)
    assert len(sides) == MOST_FILES
    assert sorted(side for side in sides if side is not None)[0] < 25
    assert sorted(side for side in sides if side is not None)[-1] > 20 + count - 10


def test_large_files_are_not_read(written: Written, tmp_path: Path) -> None:
    written((30, 30), (30, 30))
    large = tmp_path / "written" / "a" / "00000.png"
    large.write_bytes(large.read_bytes() + bytes(LARGE_BYTES))
    source = ml.DataSource.labeled_directories(tmp_path / "written")
    assert sampled_short_sides(source.index(), source) == (None, 30)


def test_images_that_are_gone_cost_the_answer_alone(written: Written, tmp_path: Path) -> None:
    index, source = written((30, 30), (30, 30))
    (tmp_path / "written" / "b" / "00001.png").unlink()
    assert sampled_short_sides(index, source) == ()
    shutil.rmtree(tmp_path / "written")
    assert sampled_short_sides(index, source) == ()


def test_what_the_sides_amount_to() -> None:
    assert small_images(()) is None
    assert small_images((80, 300, None)) is None
    found = small_images((79, 300, None, 20, 40))
    assert found is not None
    assert (found.share.part, found.share.count, found.median_side) == (3, 5, 40)


def test_sessions_of_earlier_versions_do_not_know() -> None:
    assert short_sides_of(PhaseState()) == ()
    assert short_sides_of(PhaseState({}, {"short_sides": [3, None]})) == (3, None)
    with pytest.raises(DamagedData):
        short_sides_of(PhaseState({}, {"short_sides": [-3]}))


def test_the_verdict_is_the_same_with_and_without_a_cache(
    start: Start, train_photos: Path, test_photos: Path, tmp_path: Path
) -> None:
    """Files that are small in pixels and not in bytes, as of cameras that say a lot of themselves."""
    parts = {}
    for name, photos, most in (("train", train_photos, 12), ("test", test_photos, 6)):
        parts[name] = tmp_path / name
        for folder in sorted(photos.iterdir()):
            (parts[name] / folder.name).mkdir(parents=True)
            for photo in sorted(folder.iterdir())[:most]:
                with Image.open(photo) as image:
                    exif = Image.Exif()
                    exif[0x010E] = "said of the picture " * 500
                    small = image.convert("L").resize((12, 12))
                    small.save(parts[name] / folder.name / f"{photo.stem}.jpg", quality=60, exif=exif)
    verdicts = []
    for session in ("first", "again"):  # Of which the first alone decodes anything.
        job = start(
            parts["train"], tmp_path / session, parts["test"], checkpoint_interval=1_000, cache=str(tmp_path / "cache")
        )
        verdicts.append(job.result().advice)
        with Classifier.restore_training_session(ml.SessionParameters(tmp_path / session)) as opened:
            assert short_sides_of(opened.past.state(Phase.EVALUATING)) == (12,) * 36
    found = [
        [advice for advice in (verdict.advice, *verdict.others) if advice.rule == "small_images"]
        for verdict in verdicts
    ]
    assert found[0], verdicts[0]
    assert found[0][0].evidence.startswith(
        "100.0 % (36 of 36) of the training images that were looked at are less than 80 pixels wide or high, "
        "half of these 12 or less"
    )
    first, again = (verdict.to_json() for verdict in verdicts)
    assert str(again).replace(str(tmp_path / "again"), str(tmp_path / "first")) == str(first)
