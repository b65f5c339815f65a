"""scikit-learn's LogisticRegressionCV on frozen features of one cell; a process of its own.

    python benchmarks/rivals/with_scikit_learn.py features CELL FILE.npz --extractor mlsession
    python benchmarks/rivals/with_scikit_learn.py fit CELL OUTPUT --extractor mlsession --standardised
    python benchmarks/rivals/with_scikit_learn.py fit CELL OUTPUT --features FILE.npz

Its defaults: ten penalties from 1e-4 to 1e4, five folds, L-BFGS until it converges or 100 iterations, which it does not
need on features such as these. The extractor `mlsession` is ours, by rule, used as a library; `timm` is what
people write by hand (torchvision's loader and timm's network in float32). Features of a file are not extracted again:
then the time is of the fit alone and does not count.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

import numpy as np
import numpy.typing as npt

EXTRACTORS = ("mlsession", "timm")
BATCH = 64

Rows = npt.NDArray[np.float32]


def features_of(files: list[Path], extractor: str) -> Rows:
    """float32 [N, 1280]."""
    return _with_mlsession(files) if extractor == "mlsession" else _with_timm(files)


def _with_mlsession(files: list[Path]) -> Rows:
    import mlsession as ml
    from mlsession.extractors.catalog import load_extractor
    from mlsession.images.decode import prepare_image

    extractor = load_extractor(ml.scene_print())
    rows = []
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        pictures = [prepare_image(file.read_bytes(), file.name, extractor.input_side) for file in some]
        rows.append(extractor.extract(np.stack(pictures)))
    return np.concatenate(rows)


def _with_timm(files: list[Path]) -> Rows:
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms  # type: ignore[import-untyped]

    from benchmarks.extraction.peers import MIDDLE, SHORTER_SIDE, SIDE, WORKERS, backbone

    steps = transforms.Compose(
        [
            *(transforms.Resize(SHORTER_SIDE), transforms.CenterCrop(SIDE)),
            *(transforms.ToTensor(), transforms.Normalize(MIDDLE, MIDDLE)),
        ]
    )

    class Pictures(Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, number: int) -> torch.Tensor:
            picture: torch.Tensor = steps(Image.open(files[number]).convert("RGB"))
            return picture

    model = backbone()
    with torch.inference_mode():
        rows = [model(batch) for batch in DataLoader(Pictures(), batch_size=BATCH, num_workers=WORKERS)]
    found: Rows = torch.cat(rows).numpy()
    return found


def fitted(rows: Rows, labels: list[str], standardised: bool) -> Any:
    """A classifier; the penalty is chosen anew for each cell, on its training photos alone."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegressionCV()
    return (make_pipeline(StandardScaler(), model) if standardised else model).fit(rows, labels)


def extract(cell: Path, output: Path, extractor: str) -> None:
    """The features of all photos of a cell, by the names of their files."""
    files = [*sorted((cell / "train").glob("*/*")), *sorted((cell / "test").iterdir())]
    np.savez(output, names=np.array([file.name for file in files]), features=features_of(files, extractor))


def fit(cell: Path, output: Path, extractor: str, standardised: bool, stored: Path | None) -> None:
    """Learns and writes what it says of the photos held out."""
    known, asked = sorted((cell / "train").glob("*/*")), sorted((cell / "test").iterdir())
    if stored is None:
        rows = features_of([*known, *asked], extractor)
    else:
        kept = np.load(stored, allow_pickle=False)
        place = {str(name): number for number, name in enumerate(kept["names"])}
        rows = kept["features"][[place[file.name] for file in (*known, *asked)]]
    model = fitted(rows[: len(known)], [file.parent.name for file in known], standardised)
    answers = model.predict_proba(rows[len(known) :]).tolist()
    said = {file.stem: row for file, row in zip(asked, answers, strict=True)}
    output.write_text(json.dumps({"classes": [str(one) for one in model.classes_], "probabilities": said}), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("features", "fit"))
    parser.add_argument("cell", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--extractor", choices=EXTRACTORS, default=EXTRACTORS[0])
    parser.add_argument("--standardised", action="store_true")
    parser.add_argument("--features", type=Path, help="extracted before")
    given = parser.parse_args()
    if given.what == "features":
        extract(given.cell, given.output, given.extractor)
    else:
        fit(given.cell, given.output, given.extractor, given.standardised, given.features)


if __name__ == "__main__":
    main()
