"""`mlsession split`: what it says, and that the next command it names takes what it wrote."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mlsession.cli.__main__ import run
from mlsession.cli.running.split import MOST_CLASSES, class_warnings, part_table
from mlsession.data.division import Division
from mlsession.data.source import DataSource
from mlsession.data.sources.listed import index_listed_files
from mlsession.store import Entry, join_url, open_store
from tests.servers.s3 import S3Server


@pytest.fixture
def animals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """5 cats, 12 dogs and 30 owls, which are no pictures; the current folder is the one above."""
    for label, count in (("cat", 5), ("dog", 12), ("owl", 30)):
        (tmp_path / "animals" / label).mkdir(parents=True)
        for row in range(count):
            (tmp_path / "animals" / label / f"{row}.jpg").write_bytes(f"{label}{row}".encode())
    (tmp_path / "animals" / "README").write_text("by Ann")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "animals"


def test_a_split_says_what_it_did_and_what_is_next(animals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["split", "animals", "--validation", "0.1"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[:-1] == [
        "label  train  validation  test  all",
        "cat        4           0     1    5",
        "dog        8           2     2   12",
        "owl       21           3     6   30",
        "all       33           5     9   47",
        "",
        "copied 47 images to animals-split and compared them; 1 other file left out",
        "",
        "next:",
    ]
    assert said.out.splitlines()[-1].endswith(
        "train animals-split/train --test animals-split/test --validation animals-split/validation"
    )
    assert said.err.splitlines() == [
        "warning: class cat has 5 images: too few to learn from, 10 at least are needed",
        "warning: class dog has 12 images: few to divide, 25 are better",
    ]
    assert run(["split", "animals", "--validation", "0.1"]) == 0
    assert "copied 0 images to animals-split and compared them, 47 were there already" in capsys.readouterr().out
    assert run(["split", "animals"]) == 1
    assert "is not of this split; nothing was copied: choose another --output" in capsys.readouterr().err
    assert run(["split", "animals", "--seed", "1", "--output", "other", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["copied"], found["ignored"], found["seed"], found["output"]) == (47, 1, 1, "other")
    assert found["parts"]["test"]["classes"] == {"cat": 1, "dog": 2, "owl": 6}
    assert found["parts"]["test"]["count"] == 9
    assert len(list(Path("other/test").rglob("*.jpg"))) == 9


def test_manifests_and_flat_folders(animals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["split", "animals", "--manifest", "--output", "."]) == 0
    said = capsys.readouterr().out
    assert "named 47 images in 2 manifests in ." in said
    assert said.splitlines()[-1].endswith("train ./train.csv --test ./test.csv")
    assert run(["split", "train.csv", "--output", "again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["copied"] == len(Path("train.csv").read_text().splitlines()) - 1
    assert DataSource.labeled_directories("again/train").index().classes == ("cat", "dog", "owl")
    flat = Path("flat")
    flat.mkdir()
    for path in animals.rglob("*.jpg"):
        shutil.copy(path, flat / f"x-{path.parent.name}-{path.name}")
    assert run(["split", "flat"]) == 1
    assert "(--label-from name)" in capsys.readouterr().err
    assert run(["split", "flat", "--label-from", "name:-:1"]) == 0
    assert DataSource.labeled_directories("flat-split/train").index().classes == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--test", "1.5"], "test=1.5: must lie between 0 and 1"),
        (["--test", "0.6", "--validation", "0.4"], "must leave some images to train on"),
        (["--output", "animals/parts"], "output='animals/parts/train': lies in the data folder"),
        (["--output", "animals"], "output='animals/train': lies in the data folder"),
        (["--label-from", "names"], "label-from='names': must be folder, name, name:SEPARATOR:POSITION, or"),
        (["--label-from", "folder:-"], "label-from='folder:-'"),
        (["--seed", "x"], "--seed"),
    ],
)
@pytest.mark.usefixtures("animals")
def test_wrong_use(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["split", "animals", *words]) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.out == ""
    assert not Path("animals-split").exists()
    assert not Path("animals/train").exists()


def test_from_here_to_a_bucket_and_on(
    animals: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    for path in animals.rglob("*.jpg"):
        if len(path.stem) > 1 or path.stem > "4":
            path.unlink()  # A request takes its time here.
    bucket = s3_server.new_bucket_url()
    options = [f"--storage-option={name}={value}" for name, value in s3_server.storage_options.items()]
    assert run(["split", str(animals), "--output", f"{bucket}/a", *options]) == 0
    said = capsys.readouterr()
    assert f"train {bucket}/a/train --test {bucket}/a/test --storage-option=key=***" in said.out
    assert str(s3_server.storage_options["secret"]) not in said.out + said.err
    assert run(["split", f"{bucket}/a/train", "--output", f"{bucket}/b", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["train"]["url"] == f"{bucket}/b/train"
    assert run(["split", f"{bucket}/a/train", "--manifest", "--output", "here", *options]) == 0
    lines = Path("here/test.csv").read_text().splitlines()
    assert all(line.startswith(f"{bucket}/a/train/") for line in lines[1:])
    store = open_store(join_url(bucket, "b"), s3_server.storage_options)
    images = DataSource.manifest("here/test.csv", storage_options=s3_server.storage_options).labeled_images()
    assert sorted(entry.key for entry in store.list("test")) == sorted(
        path.replace(f"{bucket}/a/train", "test") for paths in images.values() for path in paths
    )
    store.close()


def of_many(count: int) -> Division:
    labels = {f"c{row:03}/{image}.jpg": f"c{row:03}" for row in range(count) for image in range(row % 30 + 1)}
    index = index_listed_files([Entry(key=key, size=1, version="") for key in labels], labels, "x")
    places = np.zeros(len(index), dtype=np.int64)
    return Division(source=DataSource.labeled_directories("x"), index=index, parts=("train", "test"), places=places)


def test_many_classes_are_cut_short() -> None:
    lines = class_warnings(of_many(100))
    assert len(lines) == MOST_CLASSES + 1
    assert lines[0] == "warning: class c000 has 1 image: too few to learn from, 10 at least are needed"
    assert lines[-1].endswith("more classes with fewer than 25 images")
    table = part_table(of_many(100), 1000)
    assert len(table) == MOST_CLASSES + 3
    assert table[1].split() == ["c000", "1", "0", "1"]
    assert table[-2].split()[0] == "all"
    assert table[-1] == "and 60 classes with more images; --json has all"


def test_what_belongs_together_stays_together(animals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["split", "animals", "--test", "0.3", "--manifest", "--json", "--group-by"]
    assert run([*line, r"/(\d)\d?\.jpg"]) == 0
    found = json.loads(capsys.readouterr().out)
    tens: list[set[str]] = []
    for part in ("train", "test"):
        index = DataSource.manifest(found["parts"][part]["url"]).index()
        tens.append({key.rpartition("/")[2][0] for key in index.keys})
    assert tens[0].isdisjoint(tens[1])
    assert len(tens[0] | tens[1]) == 10
    assert run(["split", "animals", "--test", "0.3", "--manifest", "--group-by", r"/(\d)\d?\.jpg"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(r"test.csv --group-by '/(\d)\d?\.jpg'")
    assert run([*line, "owl/(.)"]) == 2
    assert "does not match 'cat/0.jpg'; write one that matches every image" in capsys.readouterr().err
