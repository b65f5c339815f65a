"""The image classifier: train, resume, evaluate, predict, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from mlsession.augment.averaged import AverageViews
from mlsession.classifier.predictor import Predictor
from mlsession.clock import SystemClock
from mlsession.data.source import DataSource
from mlsession.events import Event
from mlsession.job.attach import FollowOptions, following
from mlsession.job.callbacks import Callback
from mlsession.job.job import Job, JobContext
from mlsession.job.run import SessionPlace, check_loggers, start_logging
from mlsession.metrics.images import TOP
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.session.upkeep.deletion import DeletedSession, delete_session
from mlsession.session.upkeep.integrity import Repair
from mlsession.training.findings.evaluation import Evaluation, evaluate_source
from mlsession.training.findings.logged import concluding
from mlsession.training.findings.results import StoredResults
from mlsession.training.images.overlap import check_apart
from mlsession.training.models.record import ClassifierRecord, Findings
from mlsession.training.models.restore import from_checkpoint, load_model
from mlsession.training.models.writing import WritingClassifier
from mlsession.training.outcome import Trained
from mlsession.training.parameters import ModelParameters
from mlsession.training.prepare import made_session, prepared, restored
from mlsession.training.repairing import repair_training_session
from mlsession.training.request import Request, recorded_request
from mlsession.training.workers.launching import driven, prepare_for_workers


class Classifier(WritingClassifier):
    """An image classifier. Making one trains it, and returns when it is trained:

        classifier = Classifier(DataSource.labeled_directories("animals/train"))
        classifier.predict("cat.jpg").label

    `train` does the same as a job that can be watched and cancelled, and resumed by the same call.
    """

    def __init__(
        self,
        data: DataSource,
        parameters: ModelParameters | None = None,
        session: SessionParameters | None = None,
    ) -> None:
        job = type(self).train(data, parameters, session)
        try:
            made = job.result()
        except KeyboardInterrupt:
            job.cancel("interrupted from the keyboard")  # Otherwise it would go on behind the caller's back.
            raise
        super().__init__(made._predictor, made._parameters, made._findings)

    @classmethod
    def _of(
        cls, trained: Trained, parameters: ModelParameters | None = None, place: SessionPlace | None = None
    ) -> Classifier:
        """`place` is the session that it comes out of, if it does of one."""
        results = None
        if place is not None and trained.evaluation is not None:
            results = StoredResults(place=place, checkpoint=trained.evaluation)
        views = None if parameters is None else trained.views
        findings = Findings(
            metrics=trained.metrics,
            history=trained.history,
            views=views,
            extractor_choice=trained.extractor_choice,
            results=results,
        )
        classifier = cls.__new__(cls)
        ClassifierRecord.__init__(classifier, Predictor(trained.model), parameters, findings)
        return classifier

    # Training

    @classmethod
    def train(
        cls,
        data: DataSource,
        parameters: ModelParameters | None = None,
        session: SessionParameters | None = None,
        testing: DataSource | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Job[Classifier]:
        """Starts, resumes or extends a training: the same call for all three; `callbacks` are told of all that happens.

        The job raises, through `result()`: `UnusableData`, `IncompatibleParameters`, `ModifiedTrainingData`,
        `SessionInUse`, `ForeignFiles`, `NewerFormat`, `Cancelled`, `Interrupted`, `SessionTakenOver`, and any
        `StoreError`; what was committed is kept, and the same call goes on from it.
        """
        request = _request(data, parameters, session, testing)

        def work(context: JobContext) -> Classifier:
            with prepared(request, context) as (task, opening, known):
                conclude = start_logging(request.place, request.session, context, known)
                trained = driven(task, request, opening, known, context)
            conclude(*concluding(trained))
            return cls._of(trained, task.parameters, request.place)

        return Job(work, callbacks=callbacks)

    @classmethod
    def prepare(
        cls,
        data: DataSource,
        parameters: ModelParameters | None = None,
        session: SessionParameters | None = None,
        testing: DataSource | None = None,
    ) -> Job[None]:
        """Does of a training what comes before it runs: `mlsession worker` runs it then, in any number of processes.

        What is asked for is in the session afterwards. The job raises what that of `train` raises before it works.
        """
        request = _request(data, parameters, session, testing)
        return Job(lambda context: prepare_for_workers(request, context))

    @classmethod
    def make_training_session(
        cls,
        data: DataSource,
        parameters: ModelParameters | None = None,
        session: SessionParameters | None = None,
    ) -> TrainingSession:
        """Creates a session, or restores the one that is there, and runs nothing; `resume` does.

        Raises what `train` raises before it starts to work.
        """
        request, clock = _request(data, parameters, session, None), SystemClock()
        made_session(request, JobContext(emit=lambda event: None, clock=clock))
        return TrainingSession(request.place.open, request.session, clock)

    @classmethod
    def restore_training_session(cls, session: SessionParameters) -> TrainingSession:
        """The session at a URL, from the store alone. Raises `SessionNotFound`."""
        return TrainingSession(SessionPlace.of(session).open, session)

    @classmethod
    def delete_training_session(
        cls, session: SessionParameters, on_event: Callable[[Event], None] | None = None
    ) -> DeletedSession:
        """Deletes a session for good: all that it wrote, nothing else; see `session.upkeep.deletion.delete_session`.

        `on_event` hears of a wait for an earlier writer. Raises `SessionInUse`, `SessionNotFound`.
        """
        with closing(SessionPlace.of(session).open()) as store:
            return delete_session(store, SystemClock(), session.stale_after, on_event or (lambda event: None))

    @classmethod
    def repair_training_session(
        cls, session: SessionParameters, on_event: Callable[[Event], None] | None = None
    ) -> Repair:
        """Mends what is damaged in a session, out of its log and its data; see `TrainingSession.repair`."""
        return repair_training_session(session, SystemClock(), on_event or (lambda event: None))

    @classmethod
    def resume(
        cls,
        session: TrainingSession,
        extractor_weights: str | Path | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Job[Classifier]:
        """Goes on with a session, with the data, parameters and test set that it recorded; see `train`.

        `extractor_weights` is a file, for an extractor of timm or torchvision whose weights lie elsewhere now; others
        than the session was made with are refused with `IncompatibleParameters`.
        """
        weights = None if extractor_weights is None else str(extractor_weights)
        place = SessionPlace(url=session.url, storage_options=session.parameters.storage_options)
        check_loggers(session.parameters)

        def work(context: JobContext) -> Classifier:
            session.refresh()
            with restored(session, context, weights) as (task, opening, known):
                conclude = start_logging(place, session.parameters, context, known)
                trained = driven(task, recorded_request(session, weights), opening, known, context)
            conclude(*concluding(trained))
            return cls._of(trained, task.parameters, place)

        return Job(work, callbacks=callbacks)

    @classmethod
    def attach(
        cls, url: str | Path, storage_options: Mapping[str, object] | None = None, *, wait: bool = False
    ) -> Job[Classifier]:
        """Follows a training that runs in another process or on another machine; its result is the classifier.

        `cancel` asks that process to stop; see `Job.attach` for this, for `wait`, and for what the job raises.
        """
        options = FollowOptions(wait=wait)
        return Job(following(url, storage_options or {}, options, lambda: cls.load(url, storage_options)))

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint | str,
        storage_options: Mapping[str, object] | None = None,
        extractor_weights: str | Path | None = None,
    ) -> Classifier:
        """The classifier of a checkpoint, given itself or by its URL; `extractor_weights` as in `load`.

        Every training checkpoint and every later one has one. Raises `NoUsableCheckpoint`, `SessionNotFound`,
        `DamagedData`.
        """
        url = checkpoint if isinstance(checkpoint, str) else checkpoint.url
        weights = None if extractor_weights is None else str(extractor_weights)
        return cls._of(*from_checkpoint(url, storage_options or {}, weights))

    @classmethod
    def load(
        cls,
        url: str | Path,
        storage_options: Mapping[str, object] | None = None,
        extractor_weights: str | Path | None = None,
    ) -> Classifier:
        """A saved `.safetensors` model, a folder of `write_folder`, a session (its newest classifier), or a checkpoint,
        by path or URL.

        `extractor_weights` is the file of weights of an extractor of timm or torchvision: a saved model does not say
        where it lies. It is read at the first prediction, which raises `ModelNotFound` where it is missing and
        `IncompatibleParameters` if it is another file than the one trained with.
        Raises `ModelNotFound`, `NoUsableCheckpoint`, `DamagedData`, `NewerFormat`.
        """
        weights = None if extractor_weights is None else str(extractor_weights)
        return cls._of(*load_model(str(url), storage_options or {}, weights))

    # Use

    def evaluate(self, data: DataSource, *, average_views: AverageViews = None) -> ClassifierMetrics:
        """Metrics on other labelled images; ones that cannot be read are left out. `average_views`: as in `predict`.

        Raises `UnusableData` for a source without images or with a label that the classifier does not know. (Create
        ML says so in `is_valid` and `error` of its metrics, where it is easily missed.)
        """
        return self.evaluate_images(data, average_views=average_views).metrics

    def evaluate_images(self, data: DataSource, top: int = TOP, *, average_views: AverageViews = None) -> Evaluation:
        """Like `evaluate`, with what was said of every image and which could not be read.

        `top` is how many labels to rank of each image, at most.
        """
        return evaluate_source(self._predictor, data, top, self._views(average_views))


def _request(
    data: DataSource,
    parameters: ModelParameters | None,
    session: SessionParameters | None,
    testing: DataSource | None,
) -> Request:
    chosen, model = session or SessionParameters(), parameters or ModelParameters()
    check_loggers(chosen)
    if chosen.url is not None:
        check_apart(str(chosen.url), tuple(filter(None, (data, model.validation.source, testing))))
    return Request(
        data=data,
        parameters=model,
        session=chosen,
        place=SessionPlace.of(chosen),
        testing=testing,
    )
