"""What a card says of a model, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlsession.advising.advice import Verdict
from mlsession.export.metadata import ModelMetadata
from mlsession.export.report import ExportReport
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.phase import Json
from mlsession.store.location import is_local, redact, url_name

_PLACE = re.compile(r"[/~\\]|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.\-]*(?:://|::)")
"""How a path or URL begins that says where something lies on a machine, or in whose bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractorFacts:
    """The network under the classifier."""

    name: str
    """As `--extractor` takes it."""
    identity: str
    """All that gives its features their meaning; see `FeatureExtractor.identity`."""
    origin: str = ""
    """What it is and where its weights come from, in words without a period."""
    licence: str = ""
    """Of its weights; "" where that is not known."""
    weights: str = ""
    """What stands for the file that who loads it must name, where its weights are neither in the saved model nor in a
    package; "" where nothing must be named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """The images that it was trained on."""

    name: str
    """What they are called; not where they lie."""
    digest: str = ""
    """See `training.models.card_facts.data_digest`; "" where it is not known."""
    split: str = ""
    """How validation images were chosen, in words without a period."""
    skipped: int = 0
    """Images that cannot be read, of any part."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CardFacts:
    """All that a card says; K classes. What is not known has its default, and the card leaves it out."""

    title: str
    metadata: ModelMetadata
    classes: tuple[str, ...]
    """[K]"""
    side: int
    """Height and width in pixels of the pictures that the network takes."""
    head: str
    """The kind of classifier on the features."""
    model_digest: str
    temperature: float
    extractor: ExtractorFacts
    exports: tuple[ExportReport, ...]
    """Of the files beside the card; their paths are those in its folder."""
    data: DataFacts | None = None
    metrics: Mapping[str, ClassifierMetrics] = field(default_factory=dict)
    """By part: "test", "validation", "training"."""
    advice: Verdict | None = None
    training: Mapping[str, Json] = field(default_factory=dict)
    """Parameters, seed and choices, without paths."""
    numerics: Mapping[str, Json] = field(default_factory=dict)
    """What it was trained with: versions, precision, instructions."""
    version: str = ""
    """Of mlsession, which writes the card."""
    processor: str = ""
    """What the files' times were measured on."""


def shortened(value: Json) -> Json:
    """The same without places: of each path or URL, wherever in it, the last part alone."""
    if isinstance(value, Mapping):
        return {name: shortened(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shortened(member) for member in value]
    return place_name(value) if isinstance(value, str) and _PLACE.match(value) else value


def place_name(url: str) -> str:
    """What a folder or file is called, of a path or URL: no folders, hosts, users or queries."""
    if is_local(url):
        # Also of a path of another system than this one.
        return re.split(r"[/\\]", url.rstrip("/\\"))[-1] or "data"
    return url_name(redact(url)).partition("?")[0] or "data"
