"""From what the caller asks for to a session that is ready to be driven: list, create or compare.

A session is made with two inputs: `model`, the classifier in its saved form, and `images_index`, the index of the
images. An opening may bring another `images_index`, where the caller took changed images on; it is carried on from
opening to opening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from mlsession.augment.identity import installed_augmenter
from mlsession.augment.views import ViewPlan
from mlsession.classifier.format import encode_model
from mlsession.classifier.model import ImageModel
from mlsession.classifier.prediction import checked_confidence
from mlsession.data.index import ImageIndex
from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import numerics_of
from mlsession.inference.changes import index_to_predict, recorded_index
from mlsession.inference.images import ImageSource
from mlsession.inference.inputs import IMAGES_INDEX, MODEL, TASK
from mlsession.inference.output import Output
from mlsession.inference.report import PredictionReport
from mlsession.inference.task import IMAGES, PHASES, ImagePrediction
from mlsession.job.context import JobContext
from mlsession.job.job import Job
from mlsession.job.run import (
    SessionPlace,
    check_loggers,
    drive_options,
    ensure_session,
    start_logging,
    surroundings,
)
from mlsession.metrics.images import TOP
from mlsession.phases.listed import ListedImages
from mlsession.phases.recorded import AUGMENTER, EXTRACTOR
from mlsession.session.attempt import advance_session, retry_teller
from mlsession.session.identity import Identity
from mlsession.session.log.canonical import canonical_json, sha256
from mlsession.session.log.journal import LogState
from mlsession.session.opening import OpenOptions, attach
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Json
from mlsession.session.session import TrainingSession
from mlsession.session.watching.liveness import this_process
from mlsession.store import Store, is_local, join_url, open_store, parent_url, redact
from mlsession.store.retrying import RetryingStore

CACHE_NAME = ".mlsession-cache"
"""As for training: a prediction beside a training finds what that has extracted."""

_GONE = "put it back, or go on without it with on_modified_data='update' (--on-modified-data update)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRequest:
    """What a caller wants predicted."""

    model: ImageModel
    images: ImageSource
    output: Output
    session: SessionParameters
    place: SessionPlace
    top_k: int = 1
    on_bad_image: Literal["skip", "fail"] = "skip"
    min_confidence: float = 0.0
    views: ViewPlan = field(default_factory=ViewPlan)
    """Probabilities are averaged over them."""

    def __post_init__(self) -> None:
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, int) or self.top_k < 1:
            raise InvalidParameter("top_k", self.top_k, "must be a whole number, 1 or more")
        if self.on_bad_image not in ("skip", "fail"):
            raise InvalidParameter("on_bad_image", self.on_bad_image, "must be 'skip' or 'fail'")
        checked_confidence(self.min_confidence)

    @property
    def kept(self) -> int:
        """Labels kept of each image: another `top_k` up to this many needs nothing computed."""
        return min(max(self.top_k, TOP), len(self.model.labels))

    def parameters(self) -> dict[str, Json]:
        """What the session fixes."""
        spec = self.model.feature_extractor
        return {
            "model": {
                "digest": self.model.digest,
                "classes": sha256(canonical_json(list(self.model.labels))),
                "feature_extractor": {**spec.to_json(), "identity": spec.identity},
            },
            "top_k": self.kept,
            **({"average_views": self.views.to_json()} if len(self.views) > 1 else {}),
        }

    def settings(self) -> dict[str, Json]:
        """What an attempt was asked for, and the next may change."""
        return {
            "source": dict(self.images.about),
            "output": redact(self.output.url),
            "top_k": self.top_k,
            "on_bad_image": self.on_bad_image,
            **({"min_confidence": self.min_confidence} if self.min_confidence else {}),
        }


def prediction_job(request: PredictionRequest) -> Job[PredictionReport]:
    """Starts, resumes or returns the outcome of a prediction: the same call for all three.

    The job raises, through `result()`: `UnusableData`, `IncompatibleParameters`, `ModifiedTrainingData`,
    `UnreadableImage` where bad images are to fail, `SessionInUse`, `Cancelled`, `Interrupted`, `SessionTakenOver`,
    and any `StoreError`; what was committed is kept, and the same call goes on from it.
    """
    check_loggers(request.session)

    def work(context: JobContext) -> PredictionReport:
        with _prepared(request, context) as (task, opening, known):
            start_logging(request.place, request.session, context, known)
            around = surroundings(request.place, request.session, context)
            return advance_session(task, around, opening, drive_options(request.session), known)

    return Job(work)


@contextmanager
def _prepared(
    request: PredictionRequest, context: JobContext
) -> Iterator[tuple[ImagePrediction, OpenOptions, LogState]]:
    """The task of a session that exists from now on, how to open it, and how it stands; the images are open meanwhile.

    Raises what `prediction_job` says, and what reading the session raises.
    """
    policy = context.read_policy(request.session)
    found = request.images.list_images(policy)
    known = _ensured(request, found, context)

    def patient(opened: Callable[[], Store]) -> Callable[[], Store]:
        teller, caller, clock = retry_teller(context.emit), this_process().name, context.clock
        backoff, heed = request.session.backoff, context.stop.check
        return lambda: RetryingStore(opened(), clock, backoff, teller, caller, heed=heed)

    open_session_store = patient(request.place.open)
    looking = TrainingSession(open_session_store, request.session, context.clock, known)
    with closing(looking) as session, ExitStack() as stack:
        reader = stack.enter_context(closing(request.images.reader(policy)))
        recorded = recorded_index(session, found, open_session_store)
        index = index_to_predict(session, recorded, found, reader.read)
        attachments = {name: ref for name, ref in session.attachments.items() if name == IMAGES_INDEX}
        if index is not recorded:
            with closing(open_session_store()) as store:
                attachments[IMAGES_INDEX] = attach(store, index.to_bytes())
        task = ImagePrediction(
            model=request.model,
            images=ListedImages(
                keys=index.keys,
                read=reader.read,
                is_shared=reader.opens_shared,
                stamping=reader.stamping(found if request.session.on_modified_data != "ignore" else None),
                what=IMAGES,
                cure=_GONE,
            ),
            kept=request.kept,
            top_k=request.top_k,
            output=request.output,
            numerics=session.identity.numerics,
            emit=context.emit,
            check=context.stop.check,
            open_folder=patient(request.output.open),
            session_url=session.url,
            open_cache=_cache_opener(request),
            cache_size=request.session.cache_size,
            verify_content=request.session.verify_content,
            images_digest=attachments[IMAGES_INDEX].sha256 if IMAGES_INDEX in attachments else "",
            fail_on_bad_image=request.on_bad_image == "fail",
            min_confidence=request.min_confidence,
            views=request.views,
        )
        options = OpenOptions(
            stale_after=request.session.stale_after,
            take_over=request.session.take_over,
            settings=request.settings(),
            attachments=attachments,
        )
        yield task, options, known


def _ensured(request: PredictionRequest, found: ImageIndex, context: JobContext) -> LogState:
    """The session, made now if there is none. Raises `IncompatibleParameters` if there is one of another model."""

    def attachments() -> Mapping[str, bytes]:
        return {MODEL: encode_model(request.model, {}), IMAGES_INDEX: found.to_bytes()}

    def numerics() -> Mapping[str, Json]:
        found: dict[str, Json] = {
            EXTRACTOR: dict(numerics_of(request.model.feature_extractor, request.model.runtime()))
        }
        return {**found, **({AUGMENTER: installed_augmenter()} if len(request.views) > 1 else {})}

    return ensure_session(
        request.place,
        request.session,
        context,
        Identity(task=TASK, phases=PHASES, parameters=request.parameters()),
        attachments=attachments,
        numerics=numerics,
        settings=request.settings(),
    )


def _cache_opener(request: PredictionRequest) -> Callable[[], Store] | None:
    """How to open the feature cache."""
    named = request.session.cache
    if named is None:
        return None
    if named != "auto":
        options = None if is_local(named) else request.session.storage_options
        return lambda: open_store(named, options)
    try:
        url = join_url(parent_url(request.place.url), CACHE_NAME)
    except InvalidParameter:
        return None  # The session is a whole bucket: there is nothing beside it.
    return lambda: open_store(url, request.place.storage_options)
