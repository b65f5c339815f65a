"""fastai on one cell, as its documentation has it; a process of its own, with an interpreter that has fastai.

    python benchmarks/rivals/with_fastai.py CELL OUTPUT --weights FILE --recipe frozen --seed 0

`frozen`: the loaders of the quick start (`Resize(224)`) and four epochs of the head alone. `fine_tune`: chapter 2 of
fastai's book, a classifier of a few hundred photos (`RandomResizedCrop(224, min_scale=0.5)`, `aug_transforms()`, then
`fine_tune(4)`). Batches, loading processes, head, optimiser and learning rates are fastai's defaults; all photos of the
cell are trained on, none are held out to watch, which can only help it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # A script has its own folder on the path, where modules have common names.
    sys.path[0] = str(Path(__file__).parents[2])

EPOCHS = 4
RECIPES = ("frozen", "fine_tune")


def trained(train: Path, weights: Path, recipe: str, seed: int) -> Any:
    """A `Learner` that has learned."""
    from fastai.vision.all import (  # type: ignore[import-not-found]
        CategoryBlock,
        DataBlock,
        ImageBlock,
        RandomResizedCrop,
        Resize,
        aug_transforms,
        get_image_files,
        parent_label,
        set_seed,
        vision_learner,
    )

    set_seed(seed, reproducible=True)
    is_frozen = recipe == "frozen"
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=get_image_files,
        get_y=parent_label,
        splitter=lambda items: (list(range(len(items))), []),
        item_tfms=Resize(224) if is_frozen else RandomResizedCrop(224, min_scale=0.5),
        batch_tfms=None if is_frozen else aug_transforms(),
    )
    # The mean and deviation to normalise by come with timm's network: 0.5 each.
    source = {"file": str(weights)}
    learner = vision_learner(block.dataloaders(train), "tf_efficientnet_lite0", pretrained_cfg_overlay=source)
    with learner.no_bar(), learner.no_logging():
        if is_frozen:
            learner.fit_one_cycle(EPOCHS)
        else:
            learner.fine_tune(EPOCHS)
    return learner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="of timm's tf_efficientnet_lite0, safetensors")
    parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    learner = trained(given.cell / "train", given.weights, given.recipe, given.seed)
    files = sorted((given.cell / "test").iterdir())
    with learner.no_bar():
        rows = learner.get_preds(dl=learner.dls.test_dl(files))[0].tolist()
    said = {file.stem: row for file, row in zip(files, rows, strict=True)}
    given.output.write_text(json.dumps({"classes": list(learner.dls.vocab), "probabilities": said}), encoding="utf-8")


if __name__ == "__main__":
    main()
