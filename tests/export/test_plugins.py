"""Formats of other packages, by real distributions on a path of their own, in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlsession.export.plugins import offered_suffixes
from tests.recovery.nursery import Nursery

EXPORTER = """
from mlsession.export import Encoded
from mlsession.export.verify import network_answers, verify_export
from mlsession.clock import SystemClock

class Texts:
    suffix = ".words"
    def encode(self, model, metadata):
        return Encoded.of_file("\\n".join([*model.labels, metadata.author]).encode())
    def verify(self, path, encoded, model, images):
        answers = network_answers(model.network(), model.labels, images, SystemClock())
        return verify_export(path=path, format="words", spec_version=1, size_bytes=encoded.size_bytes,
                             exported=answers, trained=answers)
"""
USE = """
import sys
from dataclasses import dataclass
sys.path.insert(0, sys.argv[1])
from mlsession.errors import MLSessionError
from mlsession.export import ModelMetadata
from mlsession.export.write import check_destination
from mlsession.metrics.report import ClassifierMetrics
from mlsession.training.models.exporting import write_model
from tests.export.networks import MeanColour

@dataclass(frozen=True)
class Extractor:
    identity: str = "tiny"

@dataclass(frozen=True)
class Head:
    kind: str = "linear"

@dataclass(frozen=True)
class Model:
    labels: tuple = ("cat", "dog")
    side: int = 64
    feature_extractor: Extractor = Extractor()
    head: Head = Head()
    temperature: float = 1.0
    digest: str = ""
    def network(self):
        return MeanColour(2)

model = Model()
for path in sys.argv[2:]:
    try:
        check_destination(path)
        print("loaded" if "their_words" in sys.modules else "not loaded")
        report = write_model(model, path, ModelMetadata(author="Ada"), {})
        print(report.format, report.verified)
    except MLSessionError as error:
        print(error)
"""


def distribution(folder: Path, points: dict[str, str], name: str = "their-words", code: str = EXPORTER) -> None:
    """A package as pip leaves it: a module, and what its metadata offer."""
    folder.mkdir(exist_ok=True)
    (folder / "their_words.py").write_text(code)
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{suffix} = {value}" for suffix, value in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[mlsession.exporters]", *lines, ""]))


def used(trainers: Nursery, tmp_path: Path, *paths: str) -> list[str]:
    """What is printed where the distributions in `tmp_path / "site"` are installed, and these paths are exported to."""
    script = tmp_path / "use.py"
    script.write_text(USE)
    code, output, errors = trainers.run(str(script), str(tmp_path / "site"), *paths)
    assert (code, errors) == (0, "")
    return output.splitlines()


def test_an_installed_format_is_found_and_loaded_only_when_asked_for(trainers: Nursery, tmp_path: Path) -> None:
    distribution(tmp_path / "site", {".words": "their_words:Texts"})
    other, theirs = tmp_path / "m.safetensors", tmp_path / "m.WORDS"
    said = used(trainers, tmp_path, str(tmp_path / "m.h5"), str(theirs))
    assert "no format is known by this suffix; " in said[0]
    assert ".mlmodel, .mlpackage, .onnx, .pt2, .safetensors or .words" in said[0]
    assert said[1:] == ["not loaded", "words True"]
    assert theirs.read_text() == "cat\ndog\nAda"
    assert (tmp_path / "m.WORDS.report.json").is_file()
    assert not other.exists()


@pytest.mark.parametrize(
    ("code", "value", "reason"),
    [
        ("raise RuntimeError('their\\nbug')", "their_words:Texts", "which cannot be loaded: their; install it anew"),
        ("", "their_words:Texts", "which cannot be loaded: "),
        ("", "no_such_module:Texts", "which cannot be loaded: No module named 'no_such_module'"),
        ("class Texts: suffix = '.words'", "their_words:Texts", "has no encode()"),
        (EXPORTER.replace('".words"', '".other"'), "their_words:Texts", "says that its suffix is '.other'"),
    ],
)
def test_a_broken_one_says_whose_it_is(trainers: Nursery, tmp_path: Path, code: str, value: str, reason: str) -> None:
    distribution(tmp_path / "site", {"words": value}, code=code)
    path = tmp_path / "m.words"
    loaded, error = used(trainers, tmp_path, str(path))
    assert loaded == "not loaded"
    assert error.startswith(f".words files are made by their-words ({value}), which ")
    assert reason in error
    assert not path.exists()


def test_two_of_one_suffix_are_refused(trainers: Nursery, tmp_path: Path) -> None:
    distribution(tmp_path / "site", {".words": "their_words:Texts"})
    distribution(tmp_path / "site", {".words": "their_words:Texts"}, name="other-words")
    _, error = used(trainers, tmp_path, str(tmp_path / "m.words"))
    assert "by other-words (their_words:Texts) and by their-words (their_words:Texts); uninstall one" in error


def test_our_own_formats_are_not_theirs_to_take(trainers: Nursery, tmp_path: Path) -> None:
    distribution(tmp_path / "site", {".pt2": "their_words:Texts"}, code="raise RuntimeError('loaded')")
    assert used(trainers, tmp_path, str(tmp_path / "m.pt2")) == ["not loaded", "torch.export program True"]


def test_nothing_is_offered_where_nothing_is_installed() -> None:
    assert offered_suffixes() == ()
