"""From what the caller asks for to a session that is ready to be driven: list, create or compare."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from mlsession.clock import Clock
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.data.source import DataSource
from mlsession.errors import DamagedData, InvalidParameter, UnusableData
from mlsession.extractors.catalog import load_extractor
from mlsession.extractors.numerics import default_threads
from mlsession.job.run import SessionPlace, ensure_session
from mlsession.phases.corpus import Corpus
from mlsession.session.attempt import retry_teller
from mlsession.session.identity import Identity
from mlsession.session.log.records import BlobRef, JsonObject
from mlsession.session.opening import Emit, OpenOptions, attach
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Json, Phase
from mlsession.session.session import TrainingSession
from mlsession.store import Store, is_local, join_url, open_store, parent_url
from mlsession.store.retrying import RetryingStore
from mlsession.training.changes import check_unchanged
from mlsession.training.parameters import ModelParameters
from mlsession.training.task import PHASES, TASK, ImageClassification, index_digest, part_of

TRAINING_INDEX = "training_index"
VALIDATION_INDEX = "validation_index"
TEST_INDEX = "test_index"
CACHE_NAME = ".mlsession-cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller wants trained."""

    data: DataSource
    parameters: ModelParameters
    session: SessionParameters
    place: SessionPlace
    testing: DataSource | None = None

    @property
    def limit(self) -> int:
        """The one iteration limit that decides."""
        return self.session.iterations or self.parameters.max_iterations

    @property
    def validation(self) -> DataSource | None:
        """The source of validation images, if they have their own."""
        return self.parameters.validation.source

    @property
    def settings(self) -> JsonObject:
        """What the session remembers of this attempt, so that it can go on from the store alone."""
        return {
            "training_source": self.data.to_json(),
            "validation_source": self.validation.to_json() if self.validation else None,
            "test_source": self.testing.to_json() if self.testing else None,
            "iterations": self.limit,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Indexes:
    """The images of a session, as listed or as recorded."""

    training: ImageIndex
    validation: ImageIndex | None = None
    test: ImageIndex | None = None

    def attachments(self) -> dict[str, bytes]:
        """What a new session keeps of them; the test set belongs to an attempt."""
        kept = {TRAINING_INDEX: self.training.to_bytes()}
        return kept if self.validation is None else {**kept, VALIDATION_INDEX: self.validation.to_bytes()}


def ensured_session(request: Request, found: Indexes, clock: Clock, emit: Emit) -> None:
    """Makes the session if there is none. Raises `IncompatibleParameters` if there is one of other parameters."""
    ensure_session(
        request.place,
        request.session,
        clock,
        Identity(task=TASK, phases=PHASES, parameters=request.parameters.to_json()),
        emit,
        attachments=found.attachments,
        numerics=lambda: _numerics(request.parameters),
        settings=request.settings,
    )


def list_sources(request: Request) -> Indexes:
    """Lists what is asked for. Raises `UnusableData`, also for labels that the training data have not."""
    training = request.data.index()
    validation = request.validation.index(min_classes=1) if request.validation else None
    test = request.testing.index(min_classes=1) if request.testing else None
    for source, index in ((request.validation, validation), (request.testing, test)):
        unknown = sorted(set(index.classes) - set(training.classes)) if index else []
        if unknown:
            raise UnusableData(
                str(source),
                f"label {unknown[0]!r} is not among those of the training data; rename or remove its folder",
            )
    return Indexes(training=training, validation=validation, test=test)


@contextmanager
def prepared(request: Request, clock: Clock, emit: Emit) -> Iterator[tuple[ImageClassification, OpenOptions]]:
    """The task of a session that exists from now on, and how to open it; the sources are open meanwhile.

    Raises `UnusableData`, `IncompatibleParameters`, `ModifiedTrainingData`, and what reading the session raises.
    """
    found = list_sources(request)
    ensured_session(request, found, clock, emit)

    def open_patiently() -> Store:
        return RetryingStore(request.place.open(), clock, request.session.backoff, retry_teller(emit))

    with closing(TrainingSession(open_patiently, request.session, clock)) as session, ExitStack() as stack:
        task = _task(request, session, found.test, stack, clock, emit)
        _check_unchanged(session, task, found)
        store = stack.enter_context(closing(open_patiently()))
        test = {} if found.test is None else {TEST_INDEX: attach(store, found.test.to_bytes())}
        yield task, _open_options(request, test)


@contextmanager
def restored(session: TrainingSession, clock: Clock, emit: Emit) -> Iterator[tuple[ImageClassification, OpenOptions]]:
    """The same from the store alone: data, parameters and test set as the session recorded them.

    The data are listed and compared only while some of them are still to be extracted.
    """
    request = recorded_request(session)
    test = session.attachment(TEST_INDEX) if request.testing else None
    with ExitStack() as stack:
        task = _task(request, session, ImageIndex.from_bytes(test) if test else None, stack, clock, emit)
        extracting = session.timeline.newest.get(Phase.EXTRACTING)
        if extracting is None or not extracting.ended:
            _check_unchanged(session, task, list_sources(request))
        store = stack.enter_context(closing(request.place.open()))
        yield task, _open_options(request, {TEST_INDEX: attach(store, test)} if test else {})


def recorded_request(session: TrainingSession) -> Request:
    """What a session was last asked for; its own storage options also reach the data."""
    options, settings = session.parameters.storage_options, session.settings

    def source(name: str) -> DataSource | None:
        stored = settings.get(name)
        return DataSource.from_json(stored, options) if isinstance(stored, dict) else None

    data = source("training_source")
    if data is None:
        raise UnusableData(session.url, "the session does not say where its data are; call train with the data")
    return Request(
        data=data,
        parameters=ModelParameters.from_json(session.identity.parameters, settings),
        session=session.parameters,
        place=SessionPlace(url=session.url, storage_options=options),
        testing=source("test_source"),
    )


def _task(
    request: Request, session: TrainingSession, test: ImageIndex | None, stack: ExitStack, clock: Clock, emit: Emit
) -> ImageClassification:
    """The task on the session's recorded images; their readers live as long as `stack`."""
    training = ImageIndex.from_bytes(session.attachment(TRAINING_INDEX))
    classes = training.classes

    def reader(source: DataSource) -> SourceReader:
        # A read that fails for a while is retried; only what the bytes say may leave an image out.
        return stack.enter_context(closing(SourceReader(lambda: _patient(source, request, clock, emit))))

    validation = None
    if request.validation is not None:
        index = ImageIndex.from_bytes(session.attachment(VALIDATION_INDEX))
        validation = part_of(index, classes, reader(request.validation).read)
    numerics = session.identity.numerics
    return ImageClassification(
        parameters=request.parameters,
        limit=request.limit,
        numerics=numerics,
        corpus=Corpus(
            classes=classes,
            training=part_of(training, classes, reader(request.data).read),
            validation=validation,
        ),
        test=part_of(test, classes, reader(request.testing).read) if test and request.testing else None,
        test_digest=index_digest(test),
        emit=emit,
        open_cache=_cache(request),
    )


def _patient(source: DataSource, request: Request, clock: Clock, emit: Emit) -> Store:
    return RetryingStore(source.open(), clock, request.session.backoff, retry_teller(emit))


def _check_unchanged(session: TrainingSession, task: ImageClassification, found: Indexes) -> None:
    corpus, first = task.corpus, len(task.corpus.training.keys)
    # Read only if a version differs: it takes a pass over all that was extracted.
    extracted = functools.cache(lambda: _digests(session))

    def digest_of(row: int) -> bytes | None:
        digests = extracted()
        return digests[row].tobytes() if row < len(digests) else None

    recorded = ImageIndex.from_bytes(session.attachment(TRAINING_INDEX))
    check_unchanged(recorded, found.training, corpus.training.read, digest_of)
    if corpus.validation is not None and found.validation is not None:
        recorded = ImageIndex.from_bytes(session.attachment(VALIDATION_INDEX))
        check_unchanged(recorded, found.validation, corpus.validation.read, lambda row: digest_of(first + row))


def _digests(session: TrainingSession) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """uint8 [n, 32]: the contents extracted so far, up to the first damaged row; driving the session mends that."""
    blocks = []
    with suppress(DamagedData):
        for block in session.past.rows(Phase.EXTRACTING):
            blocks.append(block["digest"])
    return np.concatenate(blocks) if blocks else np.empty((0, 32), dtype=np.uint8)


def _open_options(request: Request, test: Mapping[str, BlobRef]) -> OpenOptions:
    return OpenOptions(
        stale_after=request.session.stale_after,
        take_over=request.session.take_over,
        settings=request.settings,
        attachments=test,
    )


def _cache(request: Request) -> Callable[[], Store] | None:
    """How to open the feature cache; a temporary session has none unless one is named."""
    named = request.session.cache
    if named is None or (named == "auto" and request.place.temporary):
        return None
    if named != "auto":
        options = None if is_local(named) else request.session.storage_options
        return lambda: open_store(named, options)
    try:
        url = join_url(parent_url(request.place.url), CACHE_NAME)
    except InvalidParameter:
        return None  # The session is a whole bucket: there is nothing beside it.
    return lambda: open_store(url, request.place.storage_options)


def _numerics(parameters: ModelParameters) -> dict[str, Json]:
    extractor = load_extractor(parameters.algorithm.feature_extractor, threads=default_threads())
    return dict(extractor.numerics())
