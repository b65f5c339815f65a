"""What people write by hand: frozen EfficientNet-Lite0 features, a logistic head, the accuracy on the test part.

    python benchmarks/extraction/peers.py by-hand TRAIN TEST
    python benchmarks/extraction/peers.py fastai TRAIN TEST

Each way is one process from cold: imports, features, head, test. All have the same network (timm's, with the weights of
the package that mlsession takes), batches of 32 and two loading processes, and end with the same head: torch's L-BFGS
on scikit-learn's objective, which needs no further import. Prints what came of it as JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

from mlsession.extractors.weights import EFFICIENTNET_LITE0, packaged_bytes, read_tensors

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH = 32
WORKERS = 2
SHORTER_SIDE, SIDE = 256, 224
MIDDLE = (0.5, 0.5, 0.5)
"""Mean and deviation: the network wants (x - 127.5) / 127.5."""
_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage of Lite0."""

Part: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"
"""Features float32 [n, 1280] and labels int64 [n]."""


def backbone() -> nn.Module:
    """timm's Lite0 without its classifier: float32 [n, 3, 224, 224] to [n, 1280]."""
    import timm

    published = read_tensors(packaged_bytes(EFFICIENTNET_LITE0), EFFICIENTNET_LITE0.path)
    model: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    model.load_state_dict({_timm_name(name): value for name, value in published.items() if not name.startswith("_fc")})
    return model.eval()


def _timm_name(name: str) -> str:
    """timm's name of a published tensor."""
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if found is None:
        layer, _, tensor = name.partition(".")
        return f"{top[layer]}.{tensor}"
    number, layer, tensor = int(found[1]), found[2], found[3]
    stage = next(stage for stage in range(len(_STAGES)) if number < sum(_STAGES[: stage + 1]))
    # The blocks of the first stage do not expand, so their layers count from the second.
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    others = {
        **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
        **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
    }
    return f"blocks.{stage}.{number - sum(_STAGES[:stage])}.{(others if stage else first)[layer]}.{tensor}"


def by_hand(model: nn.Module, folder: Path) -> Part:
    """torchvision's ImageFolder and a DataLoader."""
    return _features(model, _loader(folder))


def _loader(folder: Path) -> Any:
    from torch.utils.data import DataLoader
    from torchvision import transforms  # type: ignore[import-untyped]
    from torchvision.datasets import ImageFolder  # type: ignore[import-untyped]

    steps = [
        *(transforms.Resize(SHORTER_SIDE), transforms.CenterCrop(SIDE)),
        *(transforms.ToTensor(), transforms.Normalize(MIDDLE, MIDDLE)),
    ]
    return DataLoader(ImageFolder(str(folder), transforms.Compose(steps)), batch_size=BATCH, num_workers=WORKERS)


def _features(model: nn.Module, batches: Iterable[Any]) -> Part:
    import torch

    features, labels = [], []
    with torch.inference_mode():
        for pictures, truth in batches:
            features.append(model(pictures))
            labels.append(truth)
    return torch.cat(features).clone(), torch.cat(labels).clone()


def by_timm(model: nn.Module, folder: Path) -> Part:
    """timm's own data set and loader."""
    import torch
    from timm.data.dataset_factory import create_dataset
    from timm.data.loader import create_loader

    loader = create_loader(
        create_dataset("", str(folder)),
        input_size=(3, SIDE, SIDE),
        batch_size=BATCH,
        is_training=False,
        use_prefetcher=False,
        interpolation="bicubic",
        mean=MIDDLE,
        std=MIDDLE,
        num_workers=WORKERS,
        crop_pct=SIDE / SHORTER_SIDE,
        device=torch.device("cpu"),
    )
    return _features(model, loader)


def by_lightning(model: nn.Module, folder: Path) -> Part:
    """Lightning's Trainer.predict."""
    import pytorch_lightning
    import torch

    class Features(pytorch_lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self.model(batch[0]), batch[1]

    trainer = pytorch_lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    pairs: Any = trainer.predict(Features(), _loader(folder))
    return torch.cat([pair[0] for pair in pairs]).clone(), torch.cat([pair[1] for pair in pairs]).clone()


def by_fastai(model: nn.Module, folder: Path) -> Part:
    """fastai's DataBlock and its loader."""
    from fastai.vision.all import (  # type: ignore[import-not-found]
        CategoryBlock,
        CropPad,
        DataBlock,
        ImageBlock,
        Normalize,
        Resize,
        ResizeMethod,
        get_image_files,
        parent_label,
    )

    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=get_image_files,
        get_y=parent_label,
        splitter=lambda items: (list(range(len(items))), []),
        item_tfms=[Resize(SHORTER_SIDE, method=ResizeMethod.Crop), CropPad(SIDE)],
        batch_tfms=[Normalize.from_stats(MIDDLE, MIDDLE, cuda=False)],
    )
    loaders = block.dataloaders(folder, bs=BATCH, num_workers=WORKERS, device="cpu")
    files = get_image_files(folder)
    ordered = loaders.test_dl(files, with_labels=True, bs=BATCH, num_workers=WORKERS)
    return _features(
        model, ((pictures.as_subclass(_tensor()), truth.as_subclass(_tensor())) for pictures, truth in ordered)
    )


def _tensor() -> Any:
    import torch

    return torch.Tensor


WAYS: dict[str, Callable[[Any, Path], Part]] = {
    "by-hand": by_hand,
    "timm": by_timm,
    "lightning": by_lightning,
    "fastai": by_fastai,
}
NEEDS = {"by-hand": "torchvision", "timm": "timm", "lightning": "pytorch_lightning", "fastai": "fastai"}
"""What each way imports beside torch and timm."""


def accuracy_of_head(train: Part, test: Part) -> float:
    """Of logistic regression: mean cross-entropy and ||weights||^2 / 2n, as scikit-learn has it by default."""
    import torch
    from torch.nn import functional

    features, labels = train
    layer = torch.nn.Linear(features.shape[1], int(labels.max()) + 1)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    solver = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-4)

    def objective() -> torch.Tensor:
        solver.zero_grad()
        loss = functional.cross_entropy(layer(features), labels) + layer.weight.square().sum() / (2 * len(labels))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(objective)  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        return float((layer(test[0]).argmax(dim=1) == test[1]).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    given = parser.parse_args()
    model = backbone()
    train, test = (WAYS[given.way](model, folder) for folder in (given.train, given.test))
    print(json.dumps({"images": len(train[1]) + len(test[1]), "accuracy": accuracy_of_head(train, test)}))


if __name__ == "__main__":
    main()
