from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from mlsession.coreml.evaluate import evaluate_mlmodel, read_mlmodel
from mlsession.errors import DamagedData, InternalError, InvalidParameter
from mlsession.export import Encoded, ExportReport, ModelMetadata
from mlsession.export.coreml import CoreMLExporter
from mlsession.export.protocol import ExportableModel, Images
from mlsession.export.write import (
    MOST_NAME_BYTES,
    REPORT,
    check_destination,
    export_model,
    report_url,
    write_atomically,
    write_encoded,
)
from mlsession.export.write_file import put_and_read_back
from mlsession.store import MemoryStore, open_store
from tests.export.networks import SIDE, MeanColour, Trained, answers, noise_images

MODEL = Trained(MeanColour(2), ("cat", "dog"), SIDE)


def exported(url: str, images: Images, exporter: CoreMLExporter | None = None) -> ExportReport:
    return export_model(MODEL, url, ModelMetadata(author="Ada"), images, {".mlmodel": exporter or CoreMLExporter()})


def test_the_written_file_answers_as_the_model_does(tmp_path: Path) -> None:
    path, images = tmp_path / "new folder" / "Cats & dogs.mlmodel", noise_images(3)
    report = exported(str(path), images)
    data = path.read_bytes()
    assert (report.path, report.size_bytes, report.num_images, report.verified) == (str(path), len(data), 3, True)
    assert read_mlmodel(data).description.metadata.author == "Ada"
    np.testing.assert_allclose(evaluate_mlmodel(data, images)[1], answers(MODEL.module, images), atol=1e-5)
    beside = path.with_name("Cats & dogs.mlmodel.report.json")
    assert sorted(path.parent.iterdir()) == sorted([path, beside])
    assert json.loads(beside.read_text()) == dataclasses.asdict(report)


def test_any_store_takes_an_export() -> None:
    folder = f"memory://{uuid.uuid4().hex}"
    report = exported(f"{folder}/model.mlmodel", noise_images(1))
    store = open_store(folder)
    assert len(store.get("model.mlmodel")) == report.size_bytes
    store.close()


class Forgetful(CoreMLExporter):
    """Encodes another network than the one it was given."""

    def encode(self, model: ExportableModel, metadata: ModelMetadata) -> Encoded:
        return CoreMLExporter().encode(Trained(MeanColour(2, seed=9), model.labels, SIDE), metadata)


def test_an_export_that_differs_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "model.mlmodel"
    path.write_bytes(b"an older export")
    with pytest.raises(InternalError, match=r"model\.mlmodel.*nothing was written"):
        exported(str(path), noise_images(3), Forgetful())
    assert path.read_bytes() == b"an older export"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_suffix_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"\.mlmodel, \.mlpackage, \.onnx, \.pt2 or \.safetensors"):
        exported(str(tmp_path / "model.h5"), noise_images(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mlmodel", ".onnx", ".pt2", ".safetensors"])
def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / f"Model{suffix}"
    folder.mkdir()
    with pytest.raises(InvalidParameter, match=f"is a folder, and {suffix} is one file"):
        check_destination(str(folder))


@pytest.mark.parametrize("suffix", [".mlpackage", ".safetensors"])
def test_a_folder_in_place_of_the_report_is_seen_first(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"Model{suffix}.report.json").mkdir()
    with pytest.raises(InvalidParameter, match="the report of the export goes there"):
        check_destination(str(tmp_path / f"Model{suffix}"))


def test_writing_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(str(path), b"a long first version")
    write_atomically(str(path), b"short")
    assert path.read_bytes() == b"short"


KILLED_BEFORE_ITS_NAME = """
import os, signal, sys
from mlsession.export.write_file import write_atomically
sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == "os.rename" else None)
write_atomically(sys.argv[1], b"new" * 100_000)
"""


def test_a_kill_leaves_no_half_file_and_a_later_export_tidies(tmp_path: Path) -> None:
    path = tmp_path / "model.mlmodel"
    path.write_bytes(b"an older export")
    killed = subprocess.run([sys.executable, "-c", KILLED_BEFORE_ITS_NAME, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"an older export"
    (left,) = set(tmp_path.iterdir()) - {path}
    assert left.name.startswith(".")
    mine = tmp_path / "mine"
    mine.write_bytes(b"")
    exported(str(path), noise_images(1))
    assert left.exists()  # Somebody may be writing it.
    for each in (left, mine):
        os.utime(each, (0, 0))
    exported(str(path), noise_images(1))
    assert set(tmp_path.iterdir()) == {path, path.with_name("model.mlmodel.report.json"), mine}


def test_a_place_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        for path in (f"{name}/a.onnx", f"{name}/b/c/a.mlpackage"):
            with pytest.raises(InvalidParameter, match=rf"{name} is no folder; name another place"):
                check_destination(str(tmp_path / path))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if not os.access(closed, os.W_OK):  # Root may write anywhere.
        for path in ("a.onnx", "b/c/a.onnx"):
            with pytest.raises(InvalidParameter, match=r"closed may not be written to; name another place"):
                check_destination(str(closed / path))
    check_destination(str(tmp_path / "new" / "folder" / "a.onnx"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["closed", "file", "link"]


class LossyStore(MemoryStore):
    """Loses the last byte of what it is given."""

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data[:-1])


def test_a_store_that_keeps_something_else_is_noticed() -> None:
    put_and_read_back(MemoryStore(), "a.bin", b"data")
    with pytest.raises(DamagedData, match=r"a\.bin"):
        put_and_read_back(LossyStore(), "a.bin", b"data")


@pytest.mark.parametrize("name", ["x" * 300 + ".mlmodel", "x" * 300 + "/a.mlpackage", "\u00e9" * 110 + ".safetensors"])
def test_a_name_that_no_file_system_takes_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"a name in it has \d+ bytes, and \d+ can be; choose a shorter one"):
        check_destination(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nul.onnx", "a:b.pt2", "what?.mlmodel"])
def test_a_name_that_some_disks_cannot_hold_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match=r"key='.*Windows|key='.*character"):
        check_destination(str(tmp_path / name))


def test_the_longest_name_that_is_taken_can_be_written(tmp_path: Path) -> None:
    for suffix, encoded in ((".mlmodel", Encoded.of_file(b"x")), (".mlpackage", Encoded({"Manifest.json": b"x"}))):
        path = tmp_path / ("x" * (MOST_NAME_BYTES - len(REPORT) - len(suffix)) + suffix)
        check_destination(str(path))
        write_encoded(str(path), encoded)
        write_atomically(report_url(str(path)), b"{}")
        assert path.exists()
