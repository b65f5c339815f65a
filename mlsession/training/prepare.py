"""From what the caller asks for to a session that is ready to be driven: list, create or compare."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager

from mlsession.data.index import ImageIndex
from mlsession.errors import ModifiedTrainingData
from mlsession.job.context import JobContext
from mlsession.job.run import ensure_session
from mlsession.phases.corpus import Corpus
from mlsession.session.attempt import retry_teller
from mlsession.session.identity import Identity
from mlsession.session.log.journal import LogState
from mlsession.session.log.records import BlobRef
from mlsession.session.opening import Emit, OpenOptions, attach
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.session.watching.liveness import this_process
from mlsession.store import Store
from mlsession.store.retrying import RetryingStore
from mlsession.training.choosing import choosing_inputs
from mlsession.training.donated import donation_of
from mlsession.training.images.brief import tell_findings
from mlsession.training.images.changes import check_unchanged, extracted_digests, renewed
from mlsession.training.images.corrected import corrections_to_keep, cure_without_corrections
from mlsession.training.images.indexes import read_index
from mlsession.training.images.inputs import TEST_INDEX, attached_sides, images_digest
from mlsession.training.images.layout import listed_request
from mlsession.training.images.readers import Listed, Readers, listed_today, open_readers
from mlsession.training.images.revision import Revision, recorded_revision, updated_revision, with_kept_corrections
from mlsession.training.images.short_sides import sampled_short_sides
from mlsession.training.numerics_id import numerics_here, some_photos
from mlsession.training.request import (
    NO_ACCESS,
    Access,
    Indexes,
    Request,
    cache_opener,
    check_labels,
    list_sources,
    recorded_request,
)
from mlsession.training.task import (
    TASK,
    ImageClassification,
    index_digest,
    part_of,
    phases_of,
)


def ensured_session(request: Request, found: Indexes, context: JobContext) -> LogState:
    """The session, made now if there is none. Raises `IncompatibleParameters` if there is one of other parameters.

    A new one is not made of images with labels that do not fit: then it raises `UnusableData`.
    """

    def attachments() -> Mapping[str, bytes]:
        check_labels(request, found)
        return found.attachments()

    return ensure_session(
        request.place,
        request.session,
        context,
        Identity(task=TASK, phases=phases_of(request.parameters), parameters=request.parameters.to_json()),
        attachments=attachments,
        numerics=lambda: numerics_here(
            request.parameters, lambda: some_photos(found.training, request.data, context.read_policy(request.session))
        ),
        settings=request.settings,
    )


def made_session(request: Request, context: JobContext) -> None:
    """Makes the session if there is none, and compares one that is there; runs nothing. Raises as `prepared` does."""
    request, found = listed_request(request, context)
    known = ensured_session(request, found, context)
    looking = TrainingSession(request.place.open, request.session, context.clock, known)
    with closing(looking) as session, ExitStack() as stack:
        recorded = recorded_revision(session, found)
        if request.session.on_modified_data == "fail":
            _check_unchanged(session, recorded, found, open_readers(request, stack, context))
        is_kept = request.session.on_modified_data == "ignore"
        with_kept_corrections(request, session, recorded if is_kept else found, found.test, context.emit)


@contextmanager
def prepared(request: Request, context: JobContext) -> Iterator[tuple[ImageClassification, OpenOptions, LogState]]:
    """The task of a session that exists from now on, how to open it, and how it stands; the sources are open meanwhile.

    Raises `UnusableData`, `IncompatibleParameters`, `ModifiedTrainingData`, and what reading the session raises.
    """
    request, found = listed_request(request, context)
    known = ensured_session(request, found, context)

    def open_patiently() -> Store:
        return _patient(request.place.open(), request, context)

    with (
        closing(TrainingSession(open_patiently, request.session, context.clock, known)) as session,
        ExitStack() as stack,
    ):
        readers = open_readers(request, stack, context)
        revision, test = _revision_of(request, session, found, readers), found.test
        request = with_kept_corrections(request, session, revision, test, context.emit)
        if revision.new or Phase.EXTRACTING not in known.timeline.newest:
            tell_findings(found, context.emit)
        listed = listed_today(request, found, revision)
        del found  # It is as large as what was recorded.
        store = stack.enter_context(closing(open_patiently()))
        yield *_ready(request, session, revision, test, readers, listed, store, context.emit), known


@contextmanager
def restored(
    session: TrainingSession,
    context: JobContext,
    extractor_weights: str | None = None,
    access: Access = NO_ACCESS,
    is_prepared: bool = False,
) -> Iterator[tuple[ImageClassification, OpenOptions, LogState]]:
    """The same from the store alone: data, parameters and test set as the session recorded them.

    `extractor_weights` says where the weights of its extractor lie, if not where they did.

    The data are listed and compared only while some of them are still to be extracted and it is not `is_prepared`, or
    if they are to be verified. Where changed ones are taken on, so is the test set of today.
    """
    request = recorded_request(session, extractor_weights, access)
    with ExitStack() as stack:
        extracted = session.timeline.newest.get(Phase.EXTRACTING)
        looks = extracted is None or not extracted.ended or extracted.inputs != images_digest(session.attachments)
        lists = not is_prepared and (looks or session.parameters.verify_content)
        readers, listed = open_readers(request, stack, context), Listed()
        if lists:
            found = list_sources(request, context.read_policy(request.session))
            revision, test = _revision_of(request, session, found, readers), found.test
            request = with_kept_corrections(request, session, revision, test, context.emit)
            listed = listed_today(request, found, revision)
            del found
            if TEST_INDEX in session.attachments and not revision.new:
                test = _recorded_test(request, session)
        else:
            revision, test = recorded_revision(session), _recorded_test(request, session)
        store = stack.enter_context(closing(request.place.open()))
        yield *_ready(request, session, revision, test, readers, listed, store, context.emit), session.state


@contextmanager
def recorded(
    session: TrainingSession, context: JobContext, access: Access = NO_ACCESS
) -> Iterator[ImageClassification]:
    """The task of what the session's newest attempt worked on, whatever has become of the data; only reads.

    Raises `DamagedData`, and `UnusableData` for a session that does not say where its data are.
    """
    request = recorded_request(session, access=access)
    with ExitStack() as stack:
        readers, store = open_readers(request, stack, context), stack.enter_context(closing(request.place.open()))
        revision, test = recorded_revision(session), _recorded_test(request, session)
        yield _task(request, session, revision, test, readers, Listed(), store, context.emit, session.attachments)


def _recorded_test(request: Request, session: TrainingSession) -> ImageIndex | None:
    return read_index(session, TEST_INDEX).index if request.testing else None


def _revision_of(request: Request, session: TrainingSession, found: Indexes, readers: Readers) -> Revision:
    """The images to work on. Raises `ModifiedTrainingData` for changed ones, unless the caller takes them on."""
    recorded = recorded_revision(session, found)
    choice = request.session.on_modified_data
    if choice == "ignore":
        return recorded
    try:
        _check_unchanged(session, recorded, found, readers)
    except ModifiedTrainingData as change:
        if choice == "fail":
            raise
        return updated_revision(session, *renewed((recorded.training, recorded.validation), found, change.replaced))
    return recorded


def _ready(
    request: Request,
    session: TrainingSession,
    revision: Revision,
    test: ImageIndex | None,
    readers: Readers,
    listed: Listed,
    store: Store,
    emit: Emit,
) -> tuple[ImageClassification, OpenOptions]:
    """The task on the images of a revision, whose attachments are in the store by now; and how to open the session."""
    check_labels(request, Indexes(training=revision.training, validation=revision.validation, test=test))
    for data in revision.again:
        attach(store, data)
    new = {**revision.new, **corrections_to_keep(request.sources)}
    attachments = {**revision.carried, **{name: attach(store, data) for name, data in new.items()}}
    if test is not None:
        attachments[TEST_INDEX] = attach(store, test.to_bytes())
    options = OpenOptions(
        stale_after=request.session.stale_after,
        take_over=request.session.take_over,
        settings=request.settings,
        attachments=attachments,
    )
    return _task(request, session, revision, test, readers, listed, store, emit, attachments), options


def _task(
    request: Request,
    session: TrainingSession,
    revision: Revision,
    test: ImageIndex | None,
    readers: Readers,
    listed: Listed,
    store: Store,
    emit: Emit,
    attachments: Mapping[str, BlobRef],
) -> ImageClassification:
    classes = revision.training.classes
    validation = None
    if revision.validation is not None and readers.validation is not None:
        validation = part_of(revision.validation, classes, readers.validation, listed.validation)
    return ImageClassification(
        parameters=request.parameters,
        limit=request.limit,
        numerics=session.identity.numerics,
        corpus=Corpus(
            classes=classes,
            training=part_of(revision.training, classes, readers.training, listed.training),
            validation=validation,
        ),
        test=part_of(test, classes, readers.test, listed.test) if test and readers.test else None,
        images_digest=images_digest(attachments),
        choosing_digest=choosing_inputs(session.timeline, attachments),
        test_digest=index_digest(test),
        emit=emit,
        short_sides=functools.partial(sampled_short_sides, revision.training, request.data, readers.heed),
        open_cache=cache_opener(request),
        cache_size=request.session.cache_size,
        verify_content=request.session.verify_content,
        sides=lambda: attached_sides(store, attachments),
        donation=donation_of(session, request.place.open, request.session.storage_options, store, attachments),
    )


def _patient(store: Store, request: Request, context: JobContext) -> Store:
    """For stores that have answered before."""
    backoff, teller = request.session.backoff, retry_teller(context.emit)
    return RetryingStore(
        store, context.clock, backoff, teller, this_process().name, heed=context.stop.check, admitted=True
    )


def _check_unchanged(session: TrainingSession, recorded: Revision, found: Indexes, readers: Readers) -> None:
    # Read only if a version differs: it takes a pass over all that was extracted.
    extracted = functools.cache(lambda: extracted_digests(session))

    def digest_of(row: int) -> bytes | None:
        digests = extracted()
        return digests[row].tobytes() if row < len(digests) else None

    cure = cure_without_corrections(session, found.corrections)
    check = functools.partial(check_unchanged, every=session.parameters.verify_content, cure=cure)
    check(recorded.training, found.training, readers.training.read, digest_of)
    if recorded.validation is not None and found.validation is not None and readers.validation is not None:
        first = len(recorded.training)
        check(recorded.validation, found.validation, readers.validation.read, lambda row: digest_of(first + row))
