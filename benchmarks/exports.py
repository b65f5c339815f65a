"""Whether every export gives the model's answers: extractors x heads x formats, on photos that nothing was trained on.

    python -m benchmarks.exports FOLDER [--results exports.jsonl]
    python -m benchmarks.exports FOLDER --extractors lite0 timm:vit_tiny_patch16_224 --heads logistic --formats .onnx
    python -m benchmarks.exports FOLDER --results exports.jsonl --show --wide         the table of what is there

FOLDER has the parts `train` and `test`, each with one sub-folder of photos for each label. For each extractor and head
a session is trained and written in each format by `Classifier.write`. Then the file is read back from disk and run on
all test photos by what `write` proves it with: ONNX Runtime, torch, this package, for Core ML the evaluator of our own.
The table has the largest difference of a probability from the trained model, photos that get the model's own label, the
size of the file and of the trained network in memory, and the median for one picture in one thread of that runtime and
of the trained network in torch. Core ML's own time can be measured on Apple's machines only.

Networks of timm and torchvision get random weights, always the same: what is compared is arithmetic, not accuracy.
`fine-tuned` is one epoch at a high learning rate, kept in any case, so that the weights are surely others. Every result
is added to `--results` at once, and what is there is not measured again: name a new file for a new version.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import numpy as np

import mlsession as ml
from mlsession.classifier.model import ImageModel
from mlsession.errors import InternalError, InvalidParameter
from mlsession.export.coreml import CoreMLExporter
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.mlpackage import MLPackageExporter
from mlsession.export.onnx import ONNXExporter
from mlsession.export.protocol import Exporter, Images
from mlsession.export.pt2 import PT2Exporter
from mlsession.export.safetensors import SafetensorsExporter
from mlsession.extractors.catalog import FeatureExtractorSpec, extractor_named
from mlsession.images.decode import prepare_image
from mlsession.training.algorithms import Algorithm

EXTRACTORS = ("lite0", "lite1", "lite2", "timm:vit_tiny_patch16_224", "torchvision:resnet18")
HEADS = ("logistic", "mlp", "fine-tuned")
FORMATS: Mapping[str, Exporter[ImageModel]] = MappingProxyType(
    {
        each.suffix: each
        for each in (CoreMLExporter(), MLPackageExporter(), ONNXExporter(), PT2Exporter(), SafetensorsExporter())
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """What came of one export."""

    extractor: str
    head: str
    format: str
    outcome: str
    """"verified", "not verified", or what was refused or went wrong."""
    photos: int = 0
    max_difference: float | None = None
    labels_equal: int = 0
    size_bytes: int | None = None
    model_size_bytes: int | None = None
    """The trained network's numbers in memory."""
    seconds: float | None = None
    """One picture in the format's own runtime: the median."""
    model_seconds: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others."""
        return self.extractor, self.head, self.format


def measure(
    folder: Path,
    results: Path,
    extractors: Sequence[str] = EXTRACTORS,
    heads: Sequence[str] = HEADS,
    formats: Sequence[str] = tuple(FORMATS),
    photos: int = 0,
) -> list[Parity]:
    """Everything that `results` does not have yet; `photos` is how many test photos to take, 0: all."""
    found = read_results(results)
    done = {each.key for each in found}
    for name in extractors:
        wanted = {head: [end for end in formats if (name, head, end) not in done] for head in heads}
        if not any(wanted.values()):
            continue
        with tempfile.TemporaryDirectory(prefix="mlsession-bench-") as place:
            extractor = with_weights(name, Path(place))
            pictures = prepared(folder / "test", extractor.input_side, photos)
            for head in (head for head in heads if wanted[head]):
                classifier = trained(folder / "train", extractor, head, Path(place))
                for suffix in wanted[head]:
                    parity = compared(classifier, name, head, suffix, pictures, Path(place))
                    with results.open("a", encoding="utf-8") as lines:
                        lines.write(json.dumps(asdict(parity)) + "\n")
                    found.append(parity)
                    print(f"{name}, {head}, {suffix}: {parity.outcome}", flush=True)
    return found


def with_weights(name: str, folder: Path) -> FeatureExtractorSpec:
    """The extractor of a name; a network of a library with random weights in a file below `folder`."""
    library, separator, network = name.partition(":")
    if not separator:
        return extractor_named(name)
    import torch
    from safetensors.torch import save_file

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if library == "timm":
            import timm

            made: Any = timm.create_model(network, pretrained=False)
        else:
            import torchvision  # type: ignore[import-untyped]

            made = torchvision.models.get_model(network, weights=None)
    path = folder / f"{network}.safetensors"
    save_file({each: tensor.clone() for each, tensor in made.state_dict().items()}, path)
    return extractor_named(name, path)


def prepared(folder: Path, side: int, most: int) -> Images:
    """Photos as the extractor takes them, of every label alike: uint8 [N, side, side, 3]."""
    with closing(ml.DataSource.labeled_directories(folder).reader()) as reader:
        keys = ml.DataSource.labeled_directories(folder).index().keys
        step = max(len(keys) // most, 1) if most else 1
        return np.stack([prepare_image(reader.read(key), key, side) for key in keys[::step][: most or None]])


def trained(folder: Path, extractor: FeatureExtractorSpec, head: str, place: Path) -> ml.Classifier:
    """A classifier of a kind; features are extracted for the first one alone."""
    algorithms: dict[str, Algorithm] = {
        "logistic": ml.TransferLearning(feature_extractor=extractor),
        "mlp": ml.TransferLearning(feature_extractor=extractor, classifier=ml.MultilayerPerceptron()),
        "fine-tuned": ml.FineTune(
            feature_extractor=extractor, epochs=1, learning_rate=0.01, keep="always", augmentation=()
        ),
    }
    where = ml.SessionParameters(place / f"{head}.mlsession", cache=str(place / "cache"))
    return ml.Classifier(
        ml.DataSource.labeled_directories(folder), ml.ModelParameters(algorithm=algorithms[head]), where
    )


def compared(classifier: ml.Classifier, name: str, head: str, suffix: str, pictures: Images, place: Path) -> Parity:
    """Writes an export, reads it back, and runs it on `pictures`."""
    path, model, exporter = place / f"Model{suffix}", classifier._predictor.model, FORMATS[suffix]
    try:
        classifier.write(path, ModelMetadata())
        report = exporter.verify(str(path), read_back(path), model, pictures)
    except (InvalidParameter, InternalError) as error:
        return Parity(extractor=name, head=head, format=suffix, outcome=str(error))
    return Parity(
        extractor=name,
        head=head,
        format=suffix,
        outcome="verified" if report.verified else "not verified",
        photos=report.num_images,
        max_difference=report.max_difference,
        labels_equal=report.num_labels_equal,
        size_bytes=report.size_bytes,
        model_size_bytes=report.model_size_bytes,
        seconds=report.seconds,
        model_seconds=report.model_seconds,
    )


def read_back(path: Path) -> Encoded:
    """An export as it lies on disk."""
    if path.is_file():
        return Encoded.of_file(path.read_bytes())
    files = (each for each in sorted(path.rglob("*")) if each.is_file())
    return Encoded({each.relative_to(path).as_posix(): each.read_bytes() for each in files})


def read_results(path: Path) -> list[Parity]:
    """All that was measured so far."""
    return [Parity(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def table(found: Iterable[Parity]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [
        "| extractor | head | format | max difference | labels equal | size | before | a picture | before |",
        "|-|-|-|-|-|-|-|-|-|",
    ]
    for each in found:
        if each.max_difference is None or each.size_bytes is None:
            said = f"{each.outcome} | | | | |"
        else:
            agreed = f"{each.labels_equal} of {each.photos}"
            sizes = f"{size(each.size_bytes)} | {size(each.model_size_bytes)}"
            said = f"{each.max_difference:.0e} | {agreed} | {sizes} | {time(each.seconds)} |"
        lines.append(f"| {each.extractor} | {each.head} | `{each.format}` | {said} {time(each.model_seconds)} |")
    return lines


def by_format(found: Iterable[Parity]) -> list[str]:
    """The same with a column for each format: largest difference, size, and a picture's time; the network before."""
    cells = {each.key: each for each in found}
    formats = [end for end in FORMATS if any(end == key[2] for key in cells)]
    header = ["extractor, head", "before", *(f"`{end}`" for end in formats)]
    lines = [f"| {' | '.join(header)} |", f"|{'-|' * len(header)}"]
    for name, head in dict.fromkeys(key[:2] for key in cells):
        row = [cells.get((name, head, end)) for end in formats]
        before = [(each.model_size_bytes, each.model_seconds) for each in row if each is not None]
        took = [seconds for _, seconds in before if seconds is not None]
        start = f"{size(before[0][0])}, {time(median(took) if took else None)}"
        lines.append(f"| {' | '.join([f'{name}, {head}', start, *map(_cell, row)])} |")
    return lines


def _cell(found: Parity | None) -> str:
    if found is None or found.max_difference is None:
        return "" if found is None else found.outcome
    said = [f"{found.max_difference:.0e}", size(found.size_bytes)]
    said += [time(found.seconds)] if found.seconds is not None else []
    return ", ".join(said if found.labels_equal == found.photos else [*said, f"{found.labels_equal} labels equal"])


def size(count: int | None) -> str:
    """Bytes in words."""
    if count is None:
        return "-"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def time(seconds: float | None) -> str:
    """Seconds in words."""
    return "-" if seconds is None else f"{1000 * seconds:.0f} ms"


def main(folder: Path, results: Path, show: bool = False, wide: bool = False, **choices: Any) -> None:
    """Measures what is missing, and prints the table."""
    found = read_results(results) if show else measure(folder, results, **choices)
    print("\n".join(by_format(found) if wide else table(found)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, default=Path("exports.jsonl"), help="JSON lines, one for each export")
    parser.add_argument("--extractors", nargs="+", default=EXTRACTORS, metavar="NAME")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=HEADS)
    parser.add_argument("--formats", nargs="+", choices=tuple(FORMATS), default=tuple(FORMATS))
    parser.add_argument("--photos", type=int, default=0, metavar="N", help="so many test photos  [default: all]")
    parser.add_argument("--wide", action="store_true", help="a row for each extractor and head")
    parser.add_argument("--show", action="store_true", help="measure nothing")
    main(**vars(parser.parse_args()))
