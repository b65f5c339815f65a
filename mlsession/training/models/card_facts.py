"""What the card of a model says, gathered from the model and from the session that it was trained in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from mlsession import __version__
from mlsession.advising.advice import Verdict
from mlsession.cards.facts import CardFacts, DataFacts, ExtractorFacts, place_name, shortened
from mlsession.classifier.model import ImageModel
from mlsession.data.validation import ValidationKind
from mlsession.errors import DamagedData, StoreError, UsageError
from mlsession.export.metadata import ModelMetadata
from mlsession.export.report import ExportReport
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.extractors.custom.files import FORMATS
from mlsession.extractors.custom.options import CustomFeatureExtractor
from mlsession.extractors.embedded.extractor import Lite1, ScenePrint
from mlsession.extractors.library.extractor import TimmExtractor, TorchvisionExtractor
from mlsession.extractors.tuned import TunedExtractor
from mlsession.phases.contents import FACTS, original_facts
from mlsession.processor import this_processor
from mlsession.session.parameters import SessionParameters
from mlsession.session.past import StoredPast
from mlsession.session.phase import Json, Phase
from mlsession.session.session import TrainingSession
from mlsession.training.findings.results import StoredResults
from mlsession.training.findings.summary import SessionSummary
from mlsession.training.images.indexes import read_index
from mlsession.training.images.inputs import TRAINING_INDEX, VALIDATION_INDEX
from mlsession.training.models.record import Findings
from mlsession.training.parameters import ModelParameters


def card_facts(
    title: str,
    model: ImageModel,
    metadata: ModelMetadata,
    parameters: ModelParameters | None,
    findings: Findings,
    exports: Sequence[ExportReport],
) -> CardFacts:
    """What is known of a model; without a session that can be read, what the model itself knows.

    `exports` are the files beside the card, by their names there.
    """
    validation = findings.metrics.get("validation")
    known = _known(findings.results, 0 if validation is None else validation.count)
    training = {} if parameters is None else {"parameters": parameters.to_json(), **known.choices}
    return CardFacts(
        title=title,
        metadata=metadata,
        classes=model.labels,
        side=model.side,
        head=model.head.kind.replace("_", " "),
        model_digest=model.digest,
        temperature=model.temperature,
        extractor=extractor_facts(model.feature_extractor),
        exports=tuple(exports),
        data=known.data,
        metrics=findings.metrics,
        advice=known.advice,
        training=_object(shortened(training)),
        numerics=_object(shortened(known.numerics)),
        version=__version__,
        processor=this_processor().name,
    )


def extractor_facts(spec: FeatureExtractorSpec) -> ExtractorFacts:
    """What is to be said of an extractor."""
    base = spec.base if isinstance(spec, TunedExtractor) else spec
    origin, licence, weights = "", "", "WEIGHTS.safetensors"
    if isinstance(base, ScenePrint | Lite1):
        published = base.variant.weights
        origin = f"{base.variant.name}, trained on ImageNet-1k, out of the package {published.distribution}"
        licence, weights = published.licence, ""
    elif isinstance(base, TimmExtractor | TorchvisionExtractor):
        place = "the library's hub" if base.location is None else "a file of the trainer's"
        origin = f"the network {base.network} of {base.library}, with weights from {place}"
        weights = weights if base.location is not None else ""
    elif isinstance(base, CustomFeatureExtractor):
        suffix = next((suffix for suffix, found in FORMATS.items() if found == base.contents.format), "")
        origin = f"a network of the trainer's own ({base.contents.format})"
        weights = base.contents.reference or f"NETWORK{suffix}"
    if isinstance(spec, TunedExtractor):
        origin += ", and fine-tuned"
    return ExtractorFacts(name=base.name, identity=spec.identity, origin=origin, licence=licence, weights=weights)


def data_digest(session: TrainingSession, past: StoredPast) -> str:
    """Names training and validation images by what they are, wherever they lie and whatever they are called.

    SHA-256 in hexadecimal over a line for each readable image, the SHA-256 of its file, a space, its label and a line
    feed, in UTF-8, sorted. Raises `DamagedData`, `StoreError`.
    """
    labels = _labels(session, past, TRAINING_INDEX)
    if ModelParameters.from_json(session.identity.parameters, session.settings).validation.kind is ValidationKind.DATA:
        labels += _labels(session, past, VALIDATION_INDEX)
    lines: list[bytes] = []
    done = 0
    for block in past.rows(Phase.EXTRACTING, names=FACTS):
        digests, readable = original_facts(block)
        named = zip(digests, readable.tolist(), labels[done : done + len(readable)], strict=True)
        lines += [f"{digest.tobytes().hex()} {label}\n".encode() for digest, is_read, label in named if is_read]
        done += len(readable)
    return hashlib.sha256(b"".join(sorted(lines))).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Known:
    """What a session knows."""

    data: DataFacts | None = None
    advice: Verdict | None = None
    choices: dict[str, Json] = field(default_factory=dict)
    numerics: dict[str, Json] = field(default_factory=dict)


def _known(results: StoredResults | None, held_out: int) -> _Known:
    """Nothing where there is no session, or where it cannot be read from here: a card is made without one as well."""
    if results is None:
        return _Known()
    place = results.place
    parameters = SessionParameters(place.url, storage_options=place.storage_options)
    try:
        with closing(TrainingSession(place.open, parameters)) as session:
            return _read(session, results.checkpoint, held_out)
    except (UsageError, StoreError, DamagedData, KeyError):
        return _Known()


def _read(session: TrainingSession, checkpoint: int, held_out: int) -> _Known:
    past, newest = session.at_checkpoint(checkpoint), session.timeline.newest.get(Phase.EVALUATING)
    settings = session.settings
    parameters = ModelParameters.from_json(session.identity.parameters, settings, session.parameters.storage_options)
    data = DataFacts(
        name=_name(settings.get("training_source")),
        digest=data_digest(session, past),
        split=split_words(parameters, held_out),
    )
    numerics = dict(session.identity.numerics)
    if newest is None or newest.number != checkpoint:
        return _Known(data=data, numerics=numerics)  # The session has gone on: its summary is of another model.
    summary = SessionSummary.of(session, all_checkpoints=False)
    choices: dict[str, Json] = {"iterations": max(map(len, summary.history.values()), default=0)}
    if summary.selection is not None:
        chosen = summary.selection
        choices["chosen"] = {"classifier": chosen.options.to_json(), "on": chosen.kind, "images": chosen.judged}
    if summary.finetuning is not None:
        choices["finetuned"] = summary.finetuning.to_json()
    skipped = summary.counts.skipped
    data = DataFacts(name=data.name, digest=data.digest, split=data.split, skipped=skipped)
    return _Known(data=data, advice=summary.advice, choices=choices, numerics=numerics)


def split_words(parameters: ModelParameters, held_out: int) -> str:
    """How the `held_out` images to validate on were chosen, without a period."""
    validation = parameters.validation
    if not held_out:
        return "none"
    if validation.kind is ValidationKind.DATA:
        return f"{held_out:,} of their own, none of which was trained on"
    share = f", {100 * validation.ratio:g} %" if validation.ratio is not None else ""
    if parameters.groups is not None:
        return f"{held_out:,}{share}, copies and groups ({parameters.groups}) on one side, seed {validation.seed}"
    return f"{held_out:,}{share} of each class alike, copies of an image on one side, seed {validation.seed}"


def _labels(session: TrainingSession, past: StoredPast, name: str) -> list[str]:
    index = read_index(session, name, past).index
    classes = np.array(index.classes, dtype=object)
    return [str(label) for label in classes[index.labels.astype(np.int64)]]


def _name(source: Json) -> str:
    url = source.get("url") if isinstance(source, dict) else None
    return place_name(url) if isinstance(url, str) and url else "images"


def _object(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict)
    return value
