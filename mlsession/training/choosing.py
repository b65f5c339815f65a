"""The extractor that a session has chosen, and what it tries the candidates on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlsession.data.digests import DIGEST_BYTES, DigestMap
from mlsession.data.resplit import split_with_past
from mlsession.data.sample import stratified_sample
from mlsession.data.split import may_be_held_out, validation_counts
from mlsession.data.validation import Validation
from mlsession.errors import DamagedData, InternalError
from mlsession.extractors.automatic import AutomaticExtractor
from mlsession.extractors.embedded.extractor import EmbeddedExtractor
from mlsession.phases.chosen_extractor import USED, extractor_chosen
from mlsession.phases.corpus import Corpus
from mlsession.phases.listed import SomeImages
from mlsession.phases.sampled import Sample
from mlsession.randomness import key_digest
from mlsession.session.log.blobs import as_written
from mlsession.session.log.records import BlobRef
from mlsession.session.log.timeline import Timeline
from mlsession.session.phase import Past, Phase, PhaseState
from mlsession.training.algorithms import TransferLearning
from mlsession.training.images.inputs import images_digest
from mlsession.training.parameters import ModelParameters

if TYPE_CHECKING:
    from mlsession.phases.extract import Split


def settled(parameters: ModelParameters, past: Past) -> ModelParameters:
    """The parameters of a session with the extractor that it has chosen, where they leave it open; else as they are.

    All that works with features asks here which extractor made them. Raises `DamagedData`, and `InternalError` before
    one was chosen.
    """
    if parameters.algorithm.automatic is None:
        return parameters
    return settled_by(parameters, past.state(Phase.CHOOSING))


def settled_by(parameters: ModelParameters, choosing: PhaseState) -> ModelParameters:
    """The same by the newest state of the choosing phase."""
    automatic = parameters.algorithm.automatic
    if automatic is None:
        return parameters
    choice = extractor_chosen(choosing)
    if choice is None:
        raise InternalError("no extractor has been chosen yet")
    found = named(automatic, choice.kept)
    classifier = parameters.algorithm.head
    return replace(parameters, algorithm=TransferLearning(feature_extractor=found, classifier=classifier))


def chosen_on(past: Past, *, was_open: bool) -> DigestMap:
    """The contents that the extractor was chosen on: none of them is held out, whatever became of the images since.

    Empty where the parameters named it. Raises `DamagedData`.
    """
    if not was_open:
        return DigestMap(np.zeros((0, DIGEST_BYTES), dtype=np.uint8))
    with as_written("state of choosing"):
        return DigestMap(past.state(Phase.CHOOSING).arrays[USED])


def split_rule(
    validation: Validation,
    sides: DigestMap,
    used: DigestMap,
    groups: Callable[[], npt.NDArray[np.int64]] | None = None,
    undivided: Callable[[], None] = lambda: None,
) -> Split:
    """What is held out of training images, of which `sides` has those that are on a side already; never of `used`.

    `groups`: see `ModelParameters.ties`. `undivided` hears that they let none be held out of what was to be; it may
    raise.
    """

    def split(
        labels: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        ratio, ties = validation.ratio_for(len(labels)), None if groups is None else groups()[rows]
        held_out = split_with_past(labels, digests, ratio, validation.seed, sides, ties)
        if (
            ties is not None
            and not held_out.any()
            and validation_counts(np.bincount(labels), ratio, validation.seed).any()
        ):
            undivided()
        return held_out & ~used.look_up(digests)[0]

    return split


def named(automatic: AutomaticExtractor, name: str) -> EmbeddedExtractor:
    """The candidate of that name. Raises `DamagedData`."""
    for each in automatic.candidates:
        if each.name == name:
            return each
    raise DamagedData("state of choosing", f"{name!r} is none of the candidates")


def choosing_inputs(timeline: Timeline, attachments: Mapping[str, BlobRef]) -> str:
    """What choosing depends on: the images, until it has ended.

    What was chosen then stays for the session's life, whatever becomes of the images: of another extractor all features
    would have to be made again.
    """
    entry = timeline.newest.get(Phase.CHOOSING)
    return entry.inputs if entry is not None and entry.ended else images_digest(attachments)


def sample_of(corpus: Corpus, parameters: ModelParameters, automatic: AutomaticExtractor, sides: DigestMap) -> Sample:
    """The training images that extractors are tried on: all, or of each class alike those that a keyed hash picks.

    A function of the seed, the keys and the labels, since contents are not known yet. What will be held out for
    validation is not chosen on: that is known of all images, and of a sample all that may be is left out.
    """
    part, seed, validation = corpus.training, parameters.seed, parameters.validation
    names = b"".join(hashlib.sha256(key.encode()).digest() for key in part.keys)
    share = automatic.most_images / len(part.keys)
    salt = key_digest(seed, "extractor sample")
    rows = np.flatnonzero(
        stratified_sample(part.labels, np.frombuffer(names, dtype=np.uint8).reshape(-1, 32), share, salt)
    )
    labels, counts = part.labels[rows], np.bincount(part.labels)
    is_whole = len(rows) == len(part.keys)

    def usable(labels: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        held_out: npt.NDArray[np.bool_]
        if is_whole:
            held_out = split_with_past(labels, digests, validation.ratio_for(len(labels)), validation.seed, sides)
        else:
            ratio = validation.ratio_for(len(part.keys))
            held_out = may_be_held_out(labels, digests, counts, ratio, validation.seed)
        return ~held_out

    named = "\n".join(f"{label} {part.keys[row]}" for row, label in zip(rows.tolist(), labels.tolist(), strict=True))
    images = SomeImages(images=part, rows=rows.tolist())
    return Sample(
        labels=labels,
        key_of=images.key,
        bytes_of=images.bytes_of,
        usable=usable,
        digest=hashlib.sha256(named.encode()).hexdigest(),
        stamps=images,
    )
