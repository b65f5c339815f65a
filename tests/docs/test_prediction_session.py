"""What chapter 15 of docs/format.md says of a session of predictions, on a real one; and the table that follows."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import mlsession as ml
from mlsession.phases.infer import ANY_REASON, MOST_REASONS
from tests.inference.conftest import LABELS, fill, tiny_classifier

from .comparing import check_whole, compare
from .reader import SessionFolder
from .stored import arrays_of, decoded, parse, sha256, spelled, tensor_digest

DOCUMENT = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session beside the table that came out of it."""
    folder = tmp_path_factory.mktemp("made")
    where = ml.SessionParameters(checkpoint_interval=1, cache=None)
    job = tiny_classifier().make_prediction_job(fill(folder / "photos"), folder / "r.csv", where, top_k=2)
    job.result()
    return folder


def test_the_members_are_those_of_the_document(folder: Path) -> None:
    reader = SessionFolder(folder / "r.csv.mlsession")
    folded = reader.newest()[0]
    identity, settings = folded.opened["body"]["identity"], folded.opened["body"]["settings"]
    assert (identity["task"], identity["phases"]) == ("image-prediction", ["inferencing"])
    tensors, metadata = arrays_of(reader.blob(identity["attachments"]["model"]))
    labels = parse(metadata["mlsession"].encode(), "model")["labels"]
    assert labels == list(LABELS)
    model = identity["parameters"]["model"]
    assert model.keys() == {"digest", "classes", "feature_extractor"}
    assert (model["digest"], model["classes"]) == (tensor_digest(tensors), sha256(spelled(labels).encode()))
    assert identity["parameters"]["top_k"] == 5
    assert settings == {
        "source": {"kind": "images", "url": str(folder / "photos")},
        "output": str(folder / "r.csv"),
        "top_k": 2,
        "on_bad_image": "skip",
    }
    assert f"more than {MOST_REASONS - 1:,} the others are `{ANY_REASON}`" in " ".join(DOCUMENT.split())


def test_views_are_a_parameter(folder: Path, tmp_path: Path) -> None:
    where = ml.SessionParameters(cache=None)
    photos, url = folder / "photos" / "Lemon", tmp_path / "r.csv"
    tiny_classifier().make_prediction_job(photos, url, where, average_views="flip").result()
    body = SessionFolder(tmp_path / "r.csv.mlsession").newest()[0].opened["body"]
    flip = {"kind": "flip", "horizontal": True, "vertical": False}
    assert body["identity"]["parameters"]["average_views"] == {"options": [flip], "seed": 0}
    assert isinstance(body["identity"]["numerics"]["augmenter"], str)
    without = SessionFolder(folder / "r.csv.mlsession").newest()[0].opened["body"]["identity"]
    assert without["parameters"].keys() == {"model", "top_k"}
    assert without["numerics"].keys() == {"extractor"}


def test_the_table_follows_from_what_is_stored(folder: Path) -> None:
    compare(folder / "r.csv.mlsession", ("inferencing",))
    folded = check_whole(folder / "r.csv.mlsession", ("inferencing",))
    reader = SessionFolder(folder / "r.csv.mlsession")
    rows, (_, state) = reader.rows(folded, "inferencing"), reader.state(folded, "inferencing")
    assert {name: (str(array.dtype), array.shape[1:]) for name, array in rows.items()} == {
        "digest": ("uint8", (32,)),
        "reason": ("int32", ()),
        "top": ("int32", (5,)),
        "top_confidence": ("float64", (5,)),
    }
    attachments = folded.opened["body"]["identity"]["attachments"]
    index = pa.ipc.open_stream(reader.blob(attachments["images_index"])).read_all()
    assert index.schema.metadata[b"classes"] == b'[""]'
    keys = [str(key) for key in index["key"].to_pylist()]
    table = [["path", "label", "confidence", "label_2", "confidence_2", "reason"]]
    for key, digest, reason, top, confidence in zip(
        keys, rows["digest"], rows["reason"], rows["top"], rows["top_confidence"], strict=True
    ):
        assert sha256((folder / "photos" / key).read_bytes()) == digest.tobytes().hex()
        if reason:
            assert not top.any()
            assert not confidence.any()
            table.append([key, "", "", "", "", decoded(state["reasons"][reason - 1], "state")])
        else:
            said = [word for place in (0, 1) for word in (LABELS[top[place]], repr(float(confidence[place])))]
            table.append([key, *said, ""])
    with (folder / "r.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == table
    bad = np.flatnonzero(rows["reason"]).tolist()
    assert [state[name] for name in ("num_images", "num_skipped", "first_skipped")] == [38, len(bad), bad[0]]
