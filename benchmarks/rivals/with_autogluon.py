"""AutoGluon's MultiModalPredictor on one cell; a process of its own, with an interpreter that has AutoGluon.

    python benchmarks/rivals/with_autogluon.py CELL OUTPUT --seconds 300 --seed 0

The preset `medium_quality`, the one that it documents for small networks, with EfficientNet-Lite0 in the place of
MobileNetV3, and `--seconds` as the time limit of the fit, as its tutorials give one; all else is as it comes: it holds
photos out, watches them, and averages its best states. timm takes the weights from the Hugging Face Hub's cache, named
by the variable HF_HUB_CACHE.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    # A script has its own folder on the path, where modules have common names.
    sys.path[0] = str(Path(__file__).parents[2])

NETWORK = "tf_efficientnet_lite0"
PRESET = "medium_quality"


def predictions(cell: Path, seconds: float, seed: int) -> tuple[list[str], dict[str, list[float]]]:
    """Labels, and the probabilities of each photo held out."""
    import pandas
    from autogluon.multimodal import MultiModalPredictor  # type: ignore[import-not-found]

    known, asked = sorted((cell / "train").glob("*/*")), sorted((cell / "test").iterdir())
    table = pandas.DataFrame({"image": [str(file) for file in known], "label": [file.parent.name for file in known]})
    with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as folder:
        predictor = MultiModalPredictor(label="label", presets=PRESET, path=f"{folder}/model", verbosity=0)
        changed = {"model.timm_image.checkpoint_name": NETWORK}
        predictor.fit(table, time_limit=seconds, hyperparameters=changed, seed=seed)
        found = predictor.predict_proba(pandas.DataFrame({"image": [str(file) for file in asked]}))
    rows = found.to_numpy(dtype=float).tolist()
    return [str(label) for label in found.columns], {file.stem: row for file, row in zip(asked, rows, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cell", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    classes, said = predictions(given.cell, given.seconds, given.seed)
    given.output.write_text(json.dumps({"classes": classes, "probabilities": said}), encoding="utf-8")


if __name__ == "__main__":
    main()
