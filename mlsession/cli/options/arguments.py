"""From what was typed to what the library takes; pure. Raises `InvalidParameter`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlsession.data.names import is_manifest_name
from mlsession.errors import InvalidParameter
from mlsession.store.location import is_local, local_path, redact, url_name

if TYPE_CHECKING:
    from mlsession.augment.automatic import AutomaticAugmentation
    from mlsession.augment.options import AugmentationOption
    from mlsession.export.metadata import ModelMetadata
    from mlsession.extractors.automatic import AutomaticExtractor
    from mlsession.extractors.catalog import FeatureExtractorSpec
    from mlsession.heads.class_weight import ClassWeight
    from mlsession.heads.options import ClassifierOptions

Options = Mapping[str, object]

_SUFFIX = ".mlsession"
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What exports say of themselves; None keeps the library's words."""

    author: str
    license: str
    description: str | None
    version: str | None
    facts: Sequence[str] = ()
    """Further facts, as `name=value`."""

    def metadata(self) -> ModelMetadata:
        """The same for the library. Raises `InvalidParameter`."""
        from mlsession.export.metadata import ModelMetadata

        usual = ModelMetadata()
        return ModelMetadata(
            author=self.author,
            license=self.license,
            short_description=usual.short_description if self.description is None else self.description,
            version=usual.version if self.version is None else self.version,
            additional=dict(_fact(item) for item in self.facts),
        )


def _fact(item: str) -> tuple[str, str]:
    name, separator, value = item.partition("=")
    if not (name and separator):
        raise InvalidParameter("metadata", item, "write it as name=value")
    return name, value


def storage_options(items: Sequence[str]) -> dict[str, object]:
    """`name=value` pairs; a value that is JSON is read as that, so that true, 30, {"a": 1} and "30" are what they say.

    Messages leave the value out: it may be a secret.
    """
    options: dict[str, object] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not (name and separator):
            raise InvalidParameter("storage-option", name if separator else "...", "write it as name=value")
        options[name] = _value(value)
    return options


def _value(text: str) -> object:
    try:
        # NaN and Infinity are Python's own addition to JSON, and nothing that a store could mean.
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> object:
    raise ValueError(name)


def default_session(data: str, folder: Path, suffix: str = _SUFFIX) -> str:
    """Where a session lies if nothing else is said: `<data name>.mlsession` in `folder`, the current one.

    Beside the data where `folder` lies in them: among the images the session would be taken for a class. Of a
    manifest the name goes without its ending.
    """
    if is_manifest(data):
        name = url_name(data).rpartition(".")[0]
    elif not is_local(data):
        name = url_name(data)
    else:
        path = Path(os.path.normpath(local_path(data)))
        name = path.name
        if folder == path or path in folder.parents:
            return os.path.relpath(path.parent / f"{name}{suffix}", folder)
    if not name:
        option = "session" if suffix == _SUFFIX else "output"
        raise InvalidParameter(option, None, f"{redact(data)} has no name to call it after; give --{option} URL")
    return f"{name}{suffix}"


def is_manifest(data: str) -> bool:
    """Whether labelled images are given by a file that names them."""
    return is_manifest_name(url_name(data))


def checkpoint_interval(text: str) -> int | Literal["auto"]:
    """A number of iterations, or "auto"."""
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        reason = "must be a whole number of iterations, or auto"
        raise InvalidParameter("checkpoint-interval", text, reason) from None


def extractor(
    name: str, weights: str | None = None, storage_options: Options | None = None
) -> FeatureExtractorSpec | AutomaticExtractor:
    """The extractor that a name stands for, or those to choose from: auto."""
    from mlsession.extractors.automatic import AUTO, AutomaticExtractor
    from mlsession.extractors.catalog import extractor_named

    if name != AUTO:
        return extractor_named(name, weights, storage_options)
    if weights is not None:
        reason = "auto chooses out of extractors that have theirs in a Python package; leave this out"
        raise InvalidParameter("extractor_weights", weights, reason)
    return AutomaticExtractor()


def classifier(name: str, layer_sizes: str | None = None, weights: Sequence[str] = ()) -> ClassifierOptions:
    """The head that a name stands for; `layer_sizes` are those of a perceptron's hidden layers, such as "128,64".

    `weights` are those of classes, see `class_weight`.
    """
    from mlsession.heads.options import AutomaticClassifier, LogisticRegressor, MultilayerPerceptron

    kinds = {"logistic": LogisticRegressor, "mlp": MultilayerPerceptron, "auto": AutomaticClassifier}
    if name not in kinds:
        reason = "choose logistic, mlp (a multilayer perceptron), or auto (the better of the two)"
        raise InvalidParameter("classifier", name, reason)
    of_classes = class_weight(weights)
    if layer_sizes is None:
        options: ClassifierOptions = kinds[name](class_weight=of_classes)
        return options
    if name != "mlp":
        raise InvalidParameter("layer-sizes", layer_sizes, f"{name} has no hidden layers; add --classifier mlp")
    try:
        sizes = tuple(int(size) for size in layer_sizes.split(","))
        return MultilayerPerceptron(layer_sizes=sizes, class_weight=of_classes)
    except ValueError:
        reason = "must be whole numbers, 1 or more, separated by commas, such as 128,64"
        raise InvalidParameter("layer-sizes", layer_sizes, reason) from None


def class_weight(texts: Sequence[str]) -> ClassWeight:
    """None for nothing or "none", "balanced", or weights by label of all `texts`, such as "cat=2,dog=0.5".

    A label may hold a "=", and a comma too: a text is cut at its commas only if each part of it holds a "=".
    """
    from mlsession.heads.class_weight import checked_class_weight

    option, weights = "class-weight", dict[str, float]()
    if any(text in ("none", "balanced") for text in texts):
        if len(set(texts)) > 1:
            raise InvalidParameter(option, " ".join(texts), "give none, or balanced, or weights by label, not several")
        return None if texts[0] == "none" else "balanced"
    for text in texts:
        parts = text.split(",")
        for item in parts if all("=" in part for part in parts) else [text]:
            label, separator, value = item.rpartition("=")
            if label in weights:
                raise InvalidParameter(option, text, f"names {label!r} twice; give each label one weight")
            try:
                weights[label] = float(value)
            except ValueError:
                separator = ""
            if not separator:
                reason = "must be none, balanced, or weights by label, such as cat=2,dog=0.5"
                raise InvalidParameter(option, text, reason)
    try:
        return checked_class_weight(weights) if texts else None
    except InvalidParameter as error:
        raise InvalidParameter(option, " ".join(texts), error.reason) from None


def augmentation(text: str) -> AutomaticAugmentation | tuple[AugmentationOption, ...]:
    """The options that names separated by commas stand for, or with "auto" among them the choice of some."""
    from mlsession.augment.automatic import augmentation_named

    return augmentation_named([name.strip() for name in text.split(",")])


def average_views(text: str | None) -> str | tuple[str, ...] | None:
    """What to average a prediction over: None, "training", or names separated by commas."""
    return text if text in (None, "training") else tuple(name.strip() for name in text.split(","))


def cache(text: str) -> str | None:
    """ "auto", a URL, or None for "none"."""
    return None if text == "none" else text


def byte_count(option: str, text: str) -> int:
    """Bytes as people write them, in decimal units: "500MB", "1.5 GB", "20000000000"."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(B|kB|KB|MB|GB|TB)?", text.strip())
    if match is None or not (count := round(float(match[1]) * _UNITS[(match[2] or "B").upper()])):
        raise InvalidParameter(option, text, "must be a size such as 500MB or 10GB, above 0")
    return count


def on_modified_data(text: str) -> Literal["fail", "update", "ignore"]:
    """What to do about changed data. Raises `InvalidParameter`."""
    match text:
        case "fail" | "update" | "ignore":
            return text
    raise InvalidParameter("--on-modified-data", text, "must be fail, update or ignore")
