"""Published weights: downloaded once, checked, and an error in place of a wait where there is no network."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mlsession.errors import ModelNotFound
from mlsession.extractors.library.extractor import TENSORS
from mlsession.extractors.library.hub import from_torch_hub
from mlsession.extractors.weights import tensors_digest
from tests.extractors.networks import save_weights, timm_network
from tests.recovery.nursery import Nursery
from tests.servers.files import file_server

pytestmark = pytest.mark.sampled(0.5)

DATA = b"weights"
FILE = f"w-{hashlib.sha256(DATA).hexdigest()[:8]}.pth"

NAME_IT = """
import warnings
warnings.simplefilter("ignore")
from mlsession.extractors.catalog import load_extractor, timm_extractor
spec = timm_extractor("test_resnet")
assert load_extractor(spec).dimension == spec.dimension
print(spec.weights)
"""
ASK = """
from mlsession.errors import ModelNotFound
from mlsession.extractors.library.hub import from_hugging_face
try:
    print(from_hugging_face("timm:x", "timm/x@main", ("model.safetensors", "pytorch_model.bin")))
except ModelNotFound as error:
    print(error)
"""


def said(script: str, **environment: str) -> str:
    """What a script prints, in a process of its own: the hub's client reads the environment when it is imported."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={**os.environ, "HF_HUB_DISABLE_TELEMETRY": "1", **environment},
    )
    return done.stdout.strip()


@pytest.fixture
def nobody() -> str:
    """A URL at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


class TestTorchHub:
    def test_a_file_is_fetched_once(self, torch_home: Path) -> None:
        with file_server({f"/models/{FILE}": DATA}) as server:
            url = f"{server}/models/{FILE}"
            assert from_torch_hub("torchvision:x", url) == (FILE, DATA)
        assert [path.name for path in torch_home.iterdir()] == [FILE]
        assert from_torch_hub("torchvision:x", url) == (FILE, DATA)

    def test_other_bytes_than_were_published_are_not_kept(self, torch_home: Path) -> None:
        with (
            file_server({f"/{FILE}": b"others"}) as server,
            pytest.raises(ModelNotFound, match="not the file that was published"),
        ):
            from_torch_hub("torchvision:x", f"{server}/{FILE}")
        assert not torch_home.exists()

    def test_a_damaged_copy_is_fetched_again(self, torch_home: Path) -> None:
        torch_home.mkdir(parents=True)
        (torch_home / FILE).write_bytes(DATA[:3])
        with file_server({f"/{FILE}": DATA}) as server:
            assert from_torch_hub("torchvision:x", f"{server}/{FILE}") == (FILE, DATA)
        assert (torch_home / FILE).read_bytes() == DATA

    def test_without_a_network_the_cure_is_named(self, torch_home: Path, nobody: str) -> None:
        with pytest.raises(ModelNotFound, match=rf"torchvision:x: .*{nobody} .*--extractor-weights FILE"):
            from_torch_hub("torchvision:x", f"{nobody}/{FILE}")


class TestHuggingFace:
    def test_published_weights_are_fetched_and_serve_without_a_network_from_then_on(
        self, trainers: Nursery, tmp_path: Path, nobody: str
    ) -> None:
        network = timm_network("test_resnet")
        weights = save_weights(network, tmp_path / "w.safetensors").read_bytes()
        home = str(tmp_path / "home")
        with file_server({"/timm/test_resnet.r160_in1k/resolve/main/model.safetensors": weights}) as server:
            (tmp_path / "name it").write_text(NAME_IT)
            environment = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": home, "HF_ENDPOINT": server}
            _, named, errors = trainers.run(str(tmp_path / "name it"), environment=environment)
        assert named == f"{TENSORS}:{tensors_digest(network.state_dict())}\n", errors
        kept = ASK.replace("timm/x@main", "timm/test_resnet.r160_in1k")
        assert said(kept, HF_HOME=home, HF_ENDPOINT=nobody) == str(("model.safetensors", weights))

    def test_without_a_network_the_cure_is_named(self, tmp_path: Path, nobody: str) -> None:
        found = said(ASK, HF_HOME=str(tmp_path), HF_ENDPOINT=nobody)
        assert found.startswith(
            f"timm:x: its published weights are not on this machine and cannot be had from {nobody}"
        )
        assert found.endswith("(--extractor-weights FILE)")

    def test_offline_asks_nobody(self, tmp_path: Path) -> None:
        with file_server({}) as server:
            found = said(ASK, HF_HOME=str(tmp_path), HF_ENDPOINT=server, HF_HUB_OFFLINE="1")
        assert "HF_HUB_OFFLINE is set" in found

    def test_a_hub_that_has_it_not_is_named(self, tmp_path: Path) -> None:
        with file_server({}) as server:
            found = said(ASK, HF_HOME=str(tmp_path), HF_ENDPOINT=server)
        assert f"cannot be had from {server}" in found
        assert found.endswith("(--extractor-weights FILE)")
