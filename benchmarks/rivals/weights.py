"""The published weights of EfficientNet-Lite0 where timm finds them: as a file, and as the Hugging Face Hub's cache."""

from __future__ import annotations

from pathlib import Path

from benchmarks.extraction.peers import backbone

HUB_REPOSITORY = "timm/tf_efficientnet_lite0.in1k"
"""Where timm has them."""
WEIGHTS, HUB = "tf_efficientnet_lite0.safetensors", "hub"


def write_weights(folder: Path) -> None:
    """`WEIGHTS` in `folder`, under timm's names, and the same as a cache of the hub's in `HUB`.

    A classifier of 1,000 zeros is added, since loaders are strict and then drop it: nobody uses it. This stands for a
    download that users have made before, so it is in nobody's time.
    """
    import torch
    from safetensors.torch import save_file

    state = {name: value.contiguous() for name, value in backbone().state_dict().items()}
    state |= {"classifier.weight": torch.zeros(1000, 1280), "classifier.bias": torch.zeros(1000)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / WEIGHTS, {"format": "pt"})
    repository = folder / HUB / f"models--{HUB_REPOSITORY.replace('/', '--')}"
    commit = "0" * 40
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    save_file(state, snapshot / "model.safetensors", {"format": "pt"})
