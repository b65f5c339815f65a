from __future__ import annotations

from pathlib import Path

import pytest

from mlsession.cli.options import arguments as typed
from mlsession.cli.options import sources
from mlsession.data.source import DataSource
from mlsession.data.sources.file_names import ByName
from mlsession.data.validation import Validation, ValidationKind
from mlsession.errors import InvalidParameter
from mlsession.export.metadata import ModelMetadata
from mlsession.heads.options import AutomaticClassifier, LogisticRegressor, MultilayerPerceptron


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
    assert sources.validation(None, 7, {}) == Validation.automatic(7)
    assert sources.validation("none", 7, {}) == Validation.none()
    assert sources.validation("0.2", 7, {}) == Validation.split(0.2, 7)
    given = sources.validation("held-out", 7, {"anon": True})
    assert given.kind is ValidationKind.DATA
    assert given.source is not None
    assert Path(given.source.url).name == "held-out"
    assert given.source.storage_options == {"anon": True}


@pytest.mark.parametrize("ratio", ["0", "1", "2.5", "-0.1", "nan", "inf"])
def test_a_ratio_lies_between_nothing_and_all(ratio: str) -> None:
    with pytest.raises(InvalidParameter, match="between 0 and 1"):
        sources.validation(ratio, 0, {})


def test_intervals_heads_and_caches() -> None:
    assert typed.checkpoint_interval("auto") == "auto"
    assert typed.checkpoint_interval("12") == 12
    with pytest.raises(InvalidParameter, match="whole number of iterations, or auto"):
        typed.checkpoint_interval("often")
    assert typed.classifier("logistic") == LogisticRegressor()
    assert typed.classifier("mlp") == MultilayerPerceptron()
    assert typed.classifier("mlp", "128,64") == MultilayerPerceptron(layer_sizes=(128, 64))
    assert typed.classifier("auto", None, ["balanced"]) == AutomaticClassifier(class_weight="balanced")
    with pytest.raises(InvalidParameter, match="choose logistic, mlp"):
        typed.classifier("mlp:100")
    with pytest.raises(InvalidParameter, match="add --classifier mlp"):
        typed.classifier("logistic", "128")
    for wrong in ("", "128,", "0", "-1", "1.5", "many"):
        with pytest.raises(InvalidParameter, match=f"layer-sizes='{wrong}': must be whole numbers"):
            typed.classifier("mlp", wrong)
    assert typed.cache("auto") == "auto"
    assert typed.cache("none") is None


@pytest.mark.parametrize(
    ("texts", "weights"),
    [
        ([], None),
        (["none"], None),
        (["balanced"], "balanced"),
        (["ketch=3", "schooner=2"], {"ketch": 3, "schooner": 2}),
        (["ketch=3,schooner=2", "crab=0.5"], {"ketch": 3, "schooner": 2, "crab": 0.5}),
        (["a, b=2", "a=b=1"], {"a, b": 2, "a=b": 1}),
        (["none=2"], {"none": 2}),
    ],
)
def test_all_class_weights_count(texts: list[str], weights: object) -> None:
    assert typed.classifier("logistic", None, texts) == LogisticRegressor(class_weight=weights)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["c=2,c=3"], "names 'c' twice"),
        (["c=2", "d=1,c=2"], "names 'c' twice"),
        (["balanced", "crab=3"], "not several"),
        (["crab=3", "none"], "not several"),
        (["none", "balanced"], "not several"),
        (["crab"], "such as cat=2"),
        (["crab=3,"], "such as cat=2"),
        ([""], "such as cat=2"),
        (["crab=0"], "above 0"),
    ],
)
def test_class_weights_that_contradict_are_refused(texts: list[str], reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason) as refused:
        typed.class_weight(texts)
    assert refused.value.parameter == "class-weight"


def test_what_was_not_said_keeps_the_usual_words() -> None:
    assert typed.About(author="", license="", description=None, version=None).metadata() == ModelMetadata()
    given = typed.About(author="A", license="MIT", description="", version="2").metadata()
    assert given == ModelMetadata(author="A", license="MIT", short_description="", version="2")


def test_further_facts_are_names_and_values() -> None:
    about = typed.About(author="", license="", description=None, version=None, facts=("a.b=1=2", "note="))
    assert about.metadata().additional == {"a.b": "1=2", "note": ""}
    for wrong in ("note", "=1"):
        with pytest.raises(InvalidParameter, match="name=value"):
            typed.About(author="", license="", description=None, version=None, facts=(wrong,)).metadata()


def test_labelled_images_by_name_list_or_folder(tmp_path: Path) -> None:
    manifest = tmp_path / "all.csv"
    manifest.write_text("path,label\n1.jpg,cat\n")
    options: dict[str, object] = {"anon": True}
    folders, files = sources.source("x", options), sources.source("x", options, "name")
    assert (folders, files) == (DataSource.labeled_directories("x"), DataSource.labeled_files("x"))
    assert folders.storage_options == files.storage_options == options
    for text, rule in (
        ("name:-", ByName(separator="-")),
        ("name:-:1", ByName(separator="-", position=1)),
        ("name:_:-1", ByName(separator="_", position=-1)),
        ("name:::2", ByName(separator=":", position=2)),
    ):
        assert sources.source("x", options, text).labeling == rule
    for label_from in ("folder", "name"):
        assert sources.source(str(manifest), options, label_from) == DataSource.manifest(manifest)
    assert sources.validation(str(manifest), 0, options).source == DataSource.manifest(manifest)
    assert sources.validation("x", 0, options, "name").source == files
    rows = tmp_path / "rows.TSV"
    rows.write_text("file\tclass, or so\n1.jpg\tcat\n")
    named = sources.source(str(rows), options, "columns:file,class, or so")
    assert named == DataSource.manifest(rows, path="file", label="class, or so")
    assert sources.source("x", options, "columns:file,class") == folders
    for wrong in ("columns", "columns:", "columns:file", "columns:file,", "columns:,class"):
        with pytest.raises(InvalidParameter, match="name two columns, as in columns:file,class"):
            sources.source(str(rows), options, wrong)


def test_a_place_is_called_after_a_manifest_without_its_ending() -> None:
    assert typed.default_session("data/train.csv", Path.cwd()) == "train.mlsession"
    assert typed.default_session("s3://bucket/data/train.CSV", Path.cwd(), "-split") == "train-split"
    for ending in ("tsv", "jsonl", "ndjson", "Parquet"):
        assert typed.default_session(f"data/a.b.{ending}", Path.cwd()) == "a.b.mlsession"
    with pytest.raises(InvalidParameter, match="--output"):
        typed.default_session("/", Path("nowhere"), "-split")


def test_label_from_must_be_of_something_that_is_given() -> None:
    for rule, given in (
        ("folder", ("animals",)),
        ("name", ("animals", "test.csv")),
        ("name:-:1", ("m.csv", "test", None)),
        ("columns:a,b", ("animals", None, "test.csv")),
        ("columns:a,b", ("s3://b/m.parquet",)),
    ):
        sources.check_label_from(rule, *given)
    with pytest.raises(InvalidParameter, match="names columns of a manifest, and this is a folder"):
        sources.check_label_from("columns:a,b", "animals", "test", None)
    with pytest.raises(InvalidParameter, match="a manifest says what its labels are; leave it out"):
        sources.check_label_from("name", "m.csv", None, "test.jsonl")


def test_which_validation_is_data() -> None:
    found = [sources.validation_data(text) for text in (None, "none", "0.2", "val", "v.csv")]
    assert found == [None, None, None, "val", "v.csv"]
