"""From what the caller asks for to a session that is ready to be driven: list, create or compare."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from mlsession.augment.identity import augmenter_identity
from mlsession.clock import Clock
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.data.source import DataSource
from mlsession.errors import DamagedData, ModifiedTrainingData
from mlsession.extractors.catalog import load_extractor
from mlsession.extractors.numerics import default_threads
from mlsession.job.run import ensure_session
from mlsession.phases.corpus import Corpus
from mlsession.phases.donation import DonatedRows
from mlsession.session.attempt import retry_teller
from mlsession.session.donor import DONOR, Donor
from mlsession.session.identity import Identity
from mlsession.session.liveness import this_process
from mlsession.session.log.blobs import read_blob
from mlsession.session.log.journal import LogState
from mlsession.session.log.records import BlobRef
from mlsession.session.opening import Emit, OpenOptions, attach
from mlsession.session.phase import Json, Phase
from mlsession.session.session import TrainingSession
from mlsession.store import Store
from mlsession.store.retrying import RetryingStore
from mlsession.training.changes import check_unchanged
from mlsession.training.donated import donated_rows
from mlsession.training.inputs import SPLIT_SIDES, TEST_INDEX, decode_sides, images_digest
from mlsession.training.parameters import ModelParameters
from mlsession.training.request import (
    Indexes,
    Request,
    cache_opener,
    check_labels,
    list_sources,
    recorded_request,
)
from mlsession.training.revision import Revision, original_digests, recorded_revision, updated_revision
from mlsession.training.task import AUGMENTER, PHASES, TASK, ImageClassification, index_digest, part_of


def ensured_session(request: Request, found: Indexes, clock: Clock, emit: Emit) -> LogState:
    """The session, made now if there is none. Raises `IncompatibleParameters` if there is one of other parameters.

    A new one is not made of images with labels that do not fit: then it raises `UnusableData`.
    """

    def attachments() -> Mapping[str, bytes]:
        check_labels(request, found)
        return found.attachments()

    return ensure_session(
        request.place,
        request.session,
        clock,
        Identity(task=TASK, phases=PHASES, parameters=request.parameters.to_json()),
        emit,
        attachments=attachments,
        numerics=lambda: _numerics(request.parameters),
        settings=request.settings,
    )


def made_session(request: Request, clock: Clock, emit: Emit) -> None:
    """Makes the session if there is none, and compares one that is there; runs nothing. Raises as `prepared` does."""
    found = list_sources(request)
    known = ensured_session(request, found, clock, emit)
    if request.session.on_modified_data == "fail":
        looking = TrainingSession(request.place.open, request.session, clock, known)
        with closing(looking) as session, ExitStack() as stack:
            _check_unchanged(session, recorded_revision(session), found, _readers(request, stack, clock, emit))


@contextmanager
def prepared(request: Request, clock: Clock, emit: Emit) -> Iterator[tuple[ImageClassification, OpenOptions, LogState]]:
    """The task of a session that exists from now on, how to open it, and how it stands; the sources are open meanwhile.

    Raises `UnusableData`, `IncompatibleParameters`, `ModifiedTrainingData`, and what reading the session raises.
    """
    found = list_sources(request)
    known = ensured_session(request, found, clock, emit)

    def open_patiently() -> Store:
        return _patient(request.place.open(), request, clock, emit)

    with closing(TrainingSession(open_patiently, request.session, clock, known)) as session, ExitStack() as stack:
        readers = _readers(request, stack, clock, emit)
        revision = _revision_of(request, session, found, readers)
        store = stack.enter_context(closing(open_patiently()))
        yield *_ready(request, session, revision, found.test, readers, store, emit), known


@contextmanager
def restored(
    session: TrainingSession, clock: Clock, emit: Emit, extractor_weights: str | None = None
) -> Iterator[tuple[ImageClassification, OpenOptions, LogState]]:
    """The same from the store alone: data, parameters and test set as the session recorded them.

    `extractor_weights` says where the weights of its extractor lie, if not where they did.

    The data are listed and compared only while some of them are still to be extracted. Where changed ones are taken
    on, so is the test set of today.
    """
    request = recorded_request(session, extractor_weights)
    with ExitStack() as stack:
        readers = _readers(request, stack, clock, emit)
        extracted = session.timeline.newest.get(Phase.EXTRACTING)
        if extracted is None or not extracted.ended or extracted.inputs != images_digest(session.attachments):
            found = list_sources(request)
            revision = _revision_of(request, session, found, readers)
            test = found.test
            if TEST_INDEX in session.attachments and not revision.new:
                test = _recorded_test(request, session)
        else:
            revision, test = recorded_revision(session), _recorded_test(request, session)
        store = stack.enter_context(closing(request.place.open()))
        yield *_ready(request, session, revision, test, readers, store, emit), session.state


@contextmanager
def recorded(session: TrainingSession, clock: Clock, emit: Emit) -> Iterator[ImageClassification]:
    """The task of what the session's newest attempt worked on, whatever has become of the data; only reads.

    Raises `DamagedData`, and `UnusableData` for a session that does not say where its data are.
    """
    request = recorded_request(session)
    with ExitStack() as stack:
        readers, store = _readers(request, stack, clock, emit), stack.enter_context(closing(request.place.open()))
        revision, test = recorded_revision(session), _recorded_test(request, session)
        yield _task(request, session, revision, test, readers, store, emit, session.attachments)


def _recorded_test(request: Request, session: TrainingSession) -> ImageIndex | None:
    return ImageIndex.from_bytes(session.attachment(TEST_INDEX)) if request.testing else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Readers:
    """The bytes of each source by key, for any thread."""

    training: Callable[[str], bytes]
    validation: Callable[[str], bytes] | None
    test: Callable[[str], bytes] | None


def _readers(request: Request, stack: ExitStack, clock: Clock, emit: Emit) -> _Readers:
    """Readers that live as long as `stack`."""

    def reader(source: DataSource) -> Callable[[str], bytes]:
        # A read that fails for a while is retried; only what the bytes say may leave an image out.
        return stack.enter_context(closing(SourceReader(lambda: _patient(source.open(), request, clock, emit)))).read

    return _Readers(
        training=reader(request.data),
        validation=reader(request.validation) if request.validation else None,
        test=reader(request.testing) if request.testing else None,
    )


def _revision_of(request: Request, session: TrainingSession, found: Indexes, readers: _Readers) -> Revision:
    """The images to work on. Raises `ModifiedTrainingData` for changed ones, unless the caller takes them on."""
    recorded = recorded_revision(session)
    choice = request.session.on_modified_data
    if choice == "ignore":
        return recorded
    try:
        _check_unchanged(session, recorded, found, readers)
    except ModifiedTrainingData:
        if choice == "fail":
            raise
        return updated_revision(session, found.training, found.validation)
    return recorded


def _ready(
    request: Request,
    session: TrainingSession,
    revision: Revision,
    test: ImageIndex | None,
    readers: _Readers,
    store: Store,
    emit: Emit,
) -> tuple[ImageClassification, OpenOptions]:
    """The task on the images of a revision, whose attachments are in the store by now; and how to open the session."""
    check_labels(request, Indexes(training=revision.training, validation=revision.validation, test=test))
    attachments = {**revision.carried, **{name: attach(store, data) for name, data in revision.new.items()}}
    if test is not None:
        attachments[TEST_INDEX] = attach(store, test.to_bytes())
    options = OpenOptions(
        stale_after=request.session.stale_after,
        take_over=request.session.take_over,
        settings=request.settings,
        attachments=attachments,
    )
    return _task(request, session, revision, test, readers, store, emit, attachments), options


def _task(
    request: Request,
    session: TrainingSession,
    revision: Revision,
    test: ImageIndex | None,
    readers: _Readers,
    store: Store,
    emit: Emit,
    attachments: Mapping[str, BlobRef],
) -> ImageClassification:
    classes = revision.training.classes
    validation = None
    if revision.validation is not None and readers.validation is not None:
        validation = part_of(revision.validation, classes, readers.validation)
    return ImageClassification(
        parameters=request.parameters,
        limit=request.limit,
        numerics=session.identity.numerics,
        corpus=Corpus(
            classes=classes,
            training=part_of(revision.training, classes, readers.training),
            validation=validation,
        ),
        test=part_of(test, classes, readers.test) if test and readers.test else None,
        images_digest=images_digest(attachments),
        test_digest=index_digest(test),
        emit=emit,
        open_cache=cache_opener(request),
        sides=lambda: _sides(store, attachments),
        donation=_donation(request, session, store, attachments),
    )


def _sides(store: Store, attachments: Mapping[str, BlobRef]) -> Mapping[bytes, bool]:
    return decode_sides(read_blob(store, attachments[SPLIT_SIDES])) if SPLIT_SIDES in attachments else {}


def _donation(
    request: Request, session: TrainingSession, store: Store, attachments: Mapping[str, BlobRef]
) -> Callable[[], DonatedRows] | None:
    if DONOR not in attachments:
        return None
    named, identity = attachments[DONOR], session.identity

    def read() -> DonatedRows:
        donor = Donor.decode(read_blob(store, named))
        return donated_rows(donor, identity, request.place.open, request.session.storage_options)

    return read


def _patient(store: Store, request: Request, clock: Clock, emit: Emit) -> Store:
    return RetryingStore(store, clock, request.session.backoff, retry_teller(emit), this_process().name)


def _check_unchanged(session: TrainingSession, recorded: Revision, found: Indexes, readers: _Readers) -> None:
    # Read only if a version differs: it takes a pass over all that was extracted.
    extracted = functools.cache(lambda: _digests(session))

    def digest_of(row: int) -> bytes | None:
        digests = extracted()
        return digests[row].tobytes() if row < len(digests) else None

    check_unchanged(recorded.training, found.training, readers.training, digest_of)
    if recorded.validation is not None and found.validation is not None and readers.validation is not None:
        first = len(recorded.training)
        check_unchanged(recorded.validation, found.validation, readers.validation, lambda row: digest_of(first + row))


def _digests(session: TrainingSession) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """uint8 [images, 32]: the contents extracted so far, up to the first damaged blob; driving the session mends it.

    None where what is extracted is not of the images that the session works on now.
    """
    blocks = []
    extracted = session.timeline.newest.get(Phase.EXTRACTING)
    if extracted is not None and extracted.inputs == images_digest(session.attachments):
        with suppress(DamagedData):
            for block in session.past.rows(Phase.EXTRACTING):
                blocks.append(original_digests(block))
    return np.concatenate(blocks) if blocks else np.empty((0, 32), dtype=np.uint8)


def _numerics(parameters: ModelParameters) -> dict[str, Json]:
    extractor = load_extractor(parameters.algorithm.feature_extractor, threads=default_threads())
    augmenter: dict[str, Json] = {AUGMENTER: augmenter_identity()} if len(parameters.views) > 1 else {}
    return {**extractor.numerics(), **augmenter}
