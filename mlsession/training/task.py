"""Image classification as a task of the session engine: choosing, extracting, selecting, training, evaluating."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mlsession.data.digests import DigestMap
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.devices.crew import Crew
from mlsession.devices.world import Solo, World
from mlsession.events import Event
from mlsession.finetuning.options import FineTune
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.donation import DonatedRows
from mlsession.phases.leading import Led
from mlsession.phases.sampled import sampled_rows
from mlsession.phases.trained import is_fitted
from mlsession.session.parameters import CACHE_BYTES
from mlsession.session.phase import Array, Json, Past, Phase, PhaseRunner, PhaseState
from mlsession.store.protocol import Store
from mlsession.training.choosing import settled
from mlsession.training.images.inputs import no_sides
from mlsession.training.numerics import recorded_threads
from mlsession.training.outcome import Trained, trained
from mlsession.training.parameters import ModelParameters
from mlsession.training.runners import runner_of

TASK = "image-classification"
SHARED = (Phase.CHOOSING, Phase.EXTRACTING, Phase.FINETUNING, Phase.EVALUATING)
"""Phases that all processes take part in, if there are several."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageClassification:
    """The task of one session."""

    parameters: ModelParameters
    limit: int
    """Training iterations, at most."""
    numerics: Mapping[str, Json]
    """The numerics id that was recorded when the session was made; what it names is used again."""
    corpus: Corpus
    emit: Callable[[Event], None]
    open_cache: Callable[[], Store] | None = None
    """A handle on the feature cache, if there is one."""
    cache_size: int = CACHE_BYTES
    """Bytes that it may have."""
    verify_content: bool = False
    """Whether every image is read, also one whose file is known to hold what it did."""
    test: Part | None = None
    images_digest: str = ""
    """Names the images, "" for those that the session was made with: others make extracting start over."""
    choosing_digest: str = ""
    """The same for choosing, see `choosing_inputs`."""
    test_digest: str = ""
    """Names the test set: another one makes evaluating start over."""
    sides: Callable[[], DigestMap] = no_sides
    """By content, which side of the split it was on before the images changed: 1 for held out."""
    donation: Callable[[str], DonatedRows] | None = None
    """Reads the rows of the extraction that is taken over, if there is one, of an extractor by its identity."""
    short_sides: Callable[[], Sequence[int | None]] = tuple
    """Looks at some of the training images, see `training.images.short_sides`."""
    sampled: Callable[[], DonatedRows] | None = None
    """Reads the rows that choosing the extractor has made with it, once it is `settled`."""
    crew: Crew | None = None
    """The processes that train it together, if there are several; rank 0 drives the session."""
    is_shared: bool = False
    """Whether they share what is fine-tuned, so that none of them has all of it; rank 0's holds for all."""
    open_store: Callable[[], Store] | None = None
    """A handle on the session's folder, for the parts of it that they write."""

    @property
    def threads(self) -> int:
        """Intra-op threads of training, as recorded."""
        return recorded_threads(self.numerics)

    @property
    def name(self) -> str:
        return TASK

    @property
    def phases(self) -> tuple[str, ...]:
        return phases_of(self.parameters)

    def inputs(self, phase: str) -> str:
        found = {
            Phase.CHOOSING: self.choosing_digest,
            Phase.EXTRACTING: self.images_digest,
            Phase.EVALUATING: self.test_digest,
        }
        return found.get(Phase(phase), "")

    def settled(self, past: Past) -> ImageClassification:
        """The same task with the extractor that was chosen, and its rows, for all phases after that."""
        if self.parameters.algorithm.automatic is None:
            return self
        parameters = settled(self.parameters, past)
        return replace(self, parameters=parameters, sampled=lambda: sampled_rows(past))

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return phase != Phase.TRAINING or is_fitted(state, self.limit)

    @property
    def world(self) -> World:
        """The same, also of one process."""
        return Solo() if self.crew is None else self.crew

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        runner = runner_of(self, phase, past)
        is_led = self.world.size > 1 and self.world.rank == 0 and phase in SHARED
        return Led(phase, runner, past, self.world) if is_led else runner

    def result(self, past: Past) -> Trained:
        finetuned = Phase.FINETUNING in self.phases
        return trained(past, self.parameters, self.corpus.classes, evaluated=True, finetuned=finetuned)

    @property
    def ties(self) -> Callable[[], Array] | None:
        """Finds which training images belong together; see `ModelParameters.ties`."""
        return self.parameters.ties(self.corpus.training.keys)

    @property
    def donations(self) -> tuple[Callable[[], DonatedRows], ...]:
        """Read what there is of the rows to extract; the first one that has a row gives it."""
        given = None if self.donation is None else partial(self.donation, self.parameters.algorithm.extractor.identity)
        return tuple(read for read in (given, self.sampled) if read is not None)


def phases_of(parameters: ModelParameters) -> tuple[Phase, ...]:
    """The phases of a training, in order; `choosing`, `selecting` and `finetuning` only where there is reason to."""
    selecting = (Phase.SELECTING,) if parameters.selects else ()
    finetuning = (Phase.FINETUNING,) if isinstance(parameters.algorithm, FineTune) else ()
    choosing = (Phase.CHOOSING,) if parameters.algorithm.automatic is not None else ()
    return (*choosing, Phase.EXTRACTING, *selecting, Phase.TRAINING, *finetuning, Phase.EVALUATING)


def part_of(
    index: ImageIndex, classes: tuple[str, ...], reader: SourceReader, listed: ImageIndex | None = None
) -> Part:
    """A source's images, labels as places in `classes`, which has all of the index's; `listed`: see `stamping`."""
    places = np.array([classes.index(name) for name in index.classes], dtype=np.int64)
    return Part(
        keys=index.keys,
        labels=places[index.labels],
        read=reader.read,
        is_shared=reader.opens_shared,
        stamping=reader.stamping(listed),
    )


def index_digest(index: ImageIndex | None) -> str:
    """Names a test set by keys, labels and versions; "" for none."""
    return "" if index is None else hashlib.sha256(index.digest.encode()).hexdigest()
