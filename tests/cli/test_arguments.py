from __future__ import annotations

from pathlib import Path

import pytest

from mlsession.cli import arguments as typed
from mlsession.data.validation import Validation, ValidationKind
from mlsession.errors import InvalidParameter
from mlsession.export.metadata import ModelMetadata
from mlsession.heads.options import LogisticRegressor


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("anon=true", {"anon": True}),
        ("timeout=30", {"timeout": 30}),
        ("key=AKIA", {"key": "AKIA"}),
        ("key=a=b==", {"key": "a=b=="}),
        ('key="30"', {"key": "30"}),
        ("token=", {"token": ""}),
        ("ratio=NaN", {"ratio": "NaN"}),
        ("deep=" + "[" * 100_000, {"deep": "[" * 100_000}),
        ('client_kwargs={"endpoint_url":"http://h:9"}', {"client_kwargs": {"endpoint_url": "http://h:9"}}),
    ],
)
def test_storage_options(item: str, expected: dict[str, object]) -> None:
    assert typed.storage_options([item]) == expected


@pytest.mark.parametrize("item", ["hunter2", "=hunter2"])
def test_a_storage_option_without_a_name_is_refused_without_being_shown(item: str) -> None:
    with pytest.raises(InvalidParameter, match="name=value") as caught:
        typed.storage_options([item])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("animals", "animals.mlsession"),
        ("animals/", "animals.mlsession"),
        ("/data/wild animals/train", "train.mlsession"),
        ("s3://bucket/animals/train/", "train.mlsession"),
        ("s3://bucket", "bucket.mlsession"),
        ("zip://::s3://bucket/all.zip", "all.zip.mlsession"),
        ("animals/../plants", "plants.mlsession"),
    ],
)
def test_a_session_is_called_after_its_data(data: str, expected: str) -> None:
    assert typed.default_session(data, Path.cwd()) == expected


def test_a_session_does_not_lie_among_its_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "animals" / "cat"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside.parent)
    assert typed.default_session(".", Path.cwd()) == "../animals.mlsession"
    monkeypatch.chdir(inside)
    assert typed.default_session("..", Path.cwd()) == "../../animals.mlsession"


def test_data_without_a_name_need_a_session() -> None:
    with pytest.raises(InvalidParameter, match="--session"):
        typed.default_session("/", Path.cwd() if Path.cwd() == Path("/") else Path("nowhere"))


def test_validation() -> None:
    assert typed.validation(None, 7, {}) == Validation.automatic(7)
    assert typed.validation("none", 7, {}) == Validation.none()
    assert typed.validation("0.2", 7, {}) == Validation.split(0.2, 7)
    given = typed.validation("held-out", 7, {"anon": True})
    assert given.kind is ValidationKind.DATA
    assert given.source is not None
    assert Path(given.source.url).name == "held-out"
    assert given.source.storage_options == {"anon": True}


@pytest.mark.parametrize("ratio", ["0", "1", "2.5", "-0.1", "nan", "inf"])
def test_a_ratio_lies_between_nothing_and_all(ratio: str) -> None:
    with pytest.raises(InvalidParameter, match="between 0 and 1"):
        typed.validation(ratio, 0, {})


def test_intervals_heads_and_caches() -> None:
    assert typed.checkpoint_interval("auto") == "auto"
    assert typed.checkpoint_interval("12") == 12
    with pytest.raises(InvalidParameter, match="whole number of iterations, or auto"):
        typed.checkpoint_interval("often")
    assert typed.classifier("logistic") == LogisticRegressor()
    with pytest.raises(InvalidParameter, match="logistic"):
        typed.classifier("mlp:100")
    assert typed.cache("auto") == "auto"
    assert typed.cache("none") is None


def test_what_was_not_said_keeps_the_usual_words() -> None:
    assert typed.About(author="", license="", description=None, version=None).metadata() == ModelMetadata()
    given = typed.About(author="A", license="MIT", description="", version="2").metadata()
    assert given == ModelMetadata(author="A", license="MIT", short_description="", version="2")
