"""What docs/format.md says of data sources, read out of sessions on every kind of them."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

import mlsession as ml
from tests.photos import copy_photos

from .reader import SessionFolder
from .stored import Object

LABELS = ("Kiwi", "Lemon")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of each label in folders, the same in a flat folder `flat`, and a manifest `all.csv` of some."""
    folder = tmp_path_factory.mktemp("sources")
    copy_photos(folder / "folders", "train", 2, LABELS)
    (folder / "flat").mkdir()
    for path in (folder / "folders").rglob("*.jpg"):
        (folder / "flat" / f"x-{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    names = [(path.name, path.name.split("-")[1]) for path in sorted((folder / "flat").iterdir())]
    lines = [f"../flat/{name},{label}\n" for name, label in names[:-1]]
    (folder / "all").mkdir()
    (folder / "all" / "all.csv").write_text("file,Class\n" + "".join(lines))
    return folder


def source_of(kind: str, photos: Path) -> ml.DataSource:
    match kind:
        case "labeled_directories":
            return ml.DataSource.labeled_directories(photos / "folders")
        case "labeled_files":
            return ml.DataSource.labeled_files(photos / "flat", "-", -2)
        case "dataset":
            rows = [(path, path.parent.name) for path in sorted((photos / "folders").rglob("*.jpg"))]
            return ml.DataSource.dataset(rows)
        case "files_by_label":
            chosen = {label: sorted((photos / "folders" / label).iterdir()) for label in LABELS}
            return ml.DataSource.files_by_label({"sour": chosen["Lemon"], "sweet": chosen["Kiwi"][:1]})
    return ml.DataSource.manifest(photos / "all" / "all.csv", path="file", label="Class")


def read_back(session: Path) -> tuple[Object, dict[str, list[str]]]:
    """The stored source of a session, and the paths of its images by label, by what the document says."""
    reader = SessionFolder(session)
    body = reader.record(0)["body"]
    stored = body["settings"]["training_source"]
    table = pa.ipc.open_stream(reader.blob(body["identity"]["attachments"]["training_index"])).read_all()
    keys, classes = [str(key) for key in table["key"].to_pylist()], json.loads(table.schema.metadata[b"classes"])
    folder = Path(stored["folder"] if stored["kind"] == "manifest" else stored["url"])
    match stored["kind"]:
        case "labeled_directories":
            labels = [key.split("/")[0] for key in keys]
        case "labeled_files":
            labels = [key.rpartition(".")[0].split(stored["separator"])[stored["position"]] for key in keys]
        case "dataset":
            labels = [classes[place] for place in table["label"].to_pylist()]
            assert (stored["count"], stored["classes"]) == (len(keys), classes)
            spelled = json.dumps(labels, ensure_ascii=False, separators=(",", ":"))
            assert stored["labels"] == hashlib.sha256(spelled.encode()).hexdigest()
        case "files_by_label":
            labels = [classes[place] for place in table["label"].to_pylist()]
        case "manifest":
            with Path(stored["url"]).open(newline="", encoding="utf-8") as file:
                path, label = stored["path_column"], stored["label_column"]
                said = {(Path(stored["root"]) / row[path]).resolve(): row[label] for row in csv.DictReader(file)}
            labels = [said[(folder / key).resolve()] for key in keys]
    assert labels == [classes[place] for place in table["label"].to_pylist()]
    found: dict[str, list[str]] = {name: [] for name in classes}
    for key, label in zip(keys, labels, strict=True):
        found[label].append(f"{stored['url']}/{key}" if stored["kind"] == "dataset" else str(folder / key))
    return stored, found


@pytest.mark.parametrize("kind", ["labeled_directories", "labeled_files", "files_by_label", "manifest", "dataset"])
def test_a_stored_source_says_where_the_images_are(kind: str, photos: Path, tmp_path: Path) -> None:
    source = source_of(kind, photos)
    ml.Classifier.make_training_session(source, None, ml.SessionParameters(tmp_path / "session")).close()
    stored, found = read_back(tmp_path / "session")
    assert stored["kind"] == kind
    assert stored == source.to_json()
    assert found == source.labeled_images()
    assert sum(map(len, found.values())) == {"files_by_label": 3, "manifest": 3}.get(kind, 4)


def test_stored_corrections_make_the_stored_index(photos: Path, tmp_path: Path) -> None:
    source, table = ml.DataSource.labeled_directories(photos / "folders"), tmp_path / "fixes.csv"
    kiwi, other, lemon, _ = source.index().keys
    table.write_text(
        f"path,label,action,given\n{kiwi},Lemon,keep,Kiwi\n{lemon},Lemon,remove,\n{other},Lemon,keep,Lemon\n"
    )
    ml.Classifier.make_training_session(
        source.corrected(table), None, ml.SessionParameters(tmp_path / "session")
    ).close()
    reader = SessionFolder(tmp_path / "session")
    attachments = reader.record(0)["body"]["identity"]["attachments"]
    stored = json.loads(reader.blob(attachments["training_corrections"]).decode("ascii"))
    assert stored["source"] == str(table)
    assert [row["path"] for row in stored["corrections"]] == sorted([kiwi, lemon])
    said = {
        path.relative_to(photos / "folders").as_posix(): path.parent.name for path in (photos / "folders").rglob("*.*")
    }
    for row in stored["corrections"]:
        assert row.keys() == {"path", "label", "line", "given"}
        if row["given"] in (None, said[row["path"]]):
            if row["label"] is None:
                del said[row["path"]]
            else:
                said[row["path"]] = row["label"]
    index = pa.ipc.open_stream(reader.blob(attachments["training_index"])).read_all()
    classes = json.loads(index.schema.metadata[b"classes"])
    labels = [classes[place] for place in index["label"].to_pylist()]
    assert dict(zip(map(str, index["key"].to_pylist()), labels, strict=True)) == said
    assert labels.count("Lemon") == 2
