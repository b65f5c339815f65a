from __future__ import annotations

from pathlib import Path

import pytest

import mlsession as ml
from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter
from mlsession.training.images.overlap import check_apart


@pytest.mark.parametrize(
    ("session", "data"),
    [
        ("animals/session", "animals"),
        ("animals/cat/session", "animals/"),
        ("file:///data/animals/session", "/data/animals"),
        ("s3://bucket/animals/session", "s3://bucket/animals"),
        ("s3://bucket/session", "s3://bucket"),
    ],
)
def test_a_session_among_the_images_is_refused(session: str, data: str) -> None:
    with pytest.raises(InvalidParameter, match="taken for a class"):
        check_apart(session, (DataSource.labeled_directories("elsewhere"), DataSource.labeled_directories(data)))


@pytest.mark.parametrize(
    ("session", "data"),
    [
        ("animals.mlsession", "animals"),
        ("animals", "animals/cat"),
        ("animals/.sessions/one", "animals"),
        ("animals/../session", "animals"),
        ("s3://bucket/animals-session", "s3://bucket/animals"),
        ("s3://other/animals/session", "s3://bucket/animals"),
        ("bucket/animals/session", "s3://bucket/animals"),
        ("animals", "animals"),
    ],
)
def test_elsewhere_is_well(session: str, data: str) -> None:
    check_apart(session, (DataSource.labeled_directories(data),))


def test_only_sub_folders_are_taken_for_classes() -> None:
    for source in (
        DataSource.labeled_files("animals"),
        DataSource.files_by_label({"cat": ["animals/1.jpg"]}),
    ):
        assert source.url == DataSource.labeled_directories("animals").url
        check_apart("animals/session", (source,))


def test_what_lies_there_is_named() -> None:
    with pytest.raises(InvalidParameter, match="output='animals/x'"):
        check_apart("animals/x", (DataSource.labeled_directories("animals"),), "output")


def test_training_looks_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    where = ml.SessionParameters(tmp_path / "test" / "session")
    data, test = (DataSource.labeled_directories(tmp_path / name) for name in ("train", "test"))
    with pytest.raises(InvalidParameter, match="session="):
        ml.Classifier.train(data, None, where, testing=test)
    assert list((tmp_path / "test").iterdir()) == []
