"""The image classifier: train, resume, evaluate, predict, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from mlsession.classifier.model import ImageModel
from mlsession.classifier.prediction import Prediction, prediction_of
from mlsession.classifier.predictor import Predictor
from mlsession.clock import SystemClock
from mlsession.data.source import DataSource
from mlsession.events import Event
from mlsession.export.metadata import ModelMetadata
from mlsession.export.report import ExportReport
from mlsession.job.job import Job, JobContext
from mlsession.job.run import SessionPlace, drive_options, surroundings
from mlsession.metrics.report import ClassifierMetrics
from mlsession.session.attempt import advance_session
from mlsession.session.checkpoint import Checkpoint
from mlsession.session.deletion import DeletedSession, delete_session
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.training.evaluation import Evaluation, evaluate_source
from mlsession.training.overlap import check_apart
from mlsession.training.parameters import ModelParameters
from mlsession.training.pictures import read_picture
from mlsession.training.prepare import Request, ensured_session, list_sources, prepared, restored
from mlsession.training.restore import from_checkpoint, load_model
from mlsession.training.task import Trained

if TYPE_CHECKING:
    from mlsession.training.pictures import ImageInput


class Classifier:
    """An image classifier. Making one trains it, and returns when it is trained:

        classifier = Classifier(DataSource.labeled_directories("animals/train"))
        classifier.predict("cat.jpg").label

    `train` does the same as a job that can be watched and cancelled, and resumed by the same call.
    """

    top_labels: ClassVar[int] = 5
    """How many labels a prediction ranks, at most."""

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
        self._predictor: Predictor = made._predictor
        self._parameters: ModelParameters | None = made._parameters
        self._metrics: dict[str, ClassifierMetrics] = made._metrics

    @classmethod
    def _of(
        cls,
        model: ImageModel,
        parameters: ModelParameters | None = None,
        metrics: Mapping[str, ClassifierMetrics] | None = None,
    ) -> Classifier:
        classifier = cls.__new__(cls)
        classifier._predictor = Predictor(model)
        classifier._parameters = parameters
        classifier._metrics = dict(metrics or {})
        return classifier

    # Training

    @classmethod
    def train(
        cls,
        data: DataSource,
        parameters: ModelParameters | None = None,
        session: SessionParameters | None = None,
        testing: DataSource | None = None,
    ) -> Job[Classifier]:
        """Starts, resumes or extends a training: the same call for all three.

        The job raises, through `result()`: `UnusableData`, `IncompatibleParameters`, `ModifiedTrainingData`,
        `SessionInUse`, `ForeignFiles`, `NewerFormat`, `Cancelled`, `Interrupted`, `SessionTakenOver`, and any
        `StoreError`; what was committed is kept, and the same call goes on from it.
        """
        request = _request(data, parameters, session, testing)

        def work(context: JobContext) -> Classifier:
            with prepared(request, context.clock, context.emit) as (task, opening):
                around = surroundings(request.place, request.session, context)
                trained = advance_session(task, around, opening, drive_options(request.session))
            return cls._of_trained(trained, request.parameters)

        return Job(work)

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
        ensured_session(request, list_sources(request), clock, lambda event: None)
        return TrainingSession(request.place.open, request.session, clock)

    @classmethod
    def restore_training_session(cls, session: SessionParameters) -> TrainingSession:
        """The session at a URL, from the store alone. Raises `SessionNotFound`."""
        return TrainingSession(SessionPlace.of(session).open, session)

    @classmethod
    def delete_training_session(
        cls, session: SessionParameters, on_event: Callable[[Event], None] | None = None
    ) -> DeletedSession:
        """Deletes a session for good: all that it wrote, nothing else; see `session.deletion.delete_session`.

        `on_event` hears of a wait for an earlier writer. Raises `SessionInUse`, `SessionNotFound`.
        """
        with closing(SessionPlace.of(session).open()) as store:
            return delete_session(store, SystemClock(), session.stale_after, on_event or (lambda event: None))

    @classmethod
    def resume(cls, session: TrainingSession) -> Job[Classifier]:
        """Goes on with a session, with the data, parameters and test set that it recorded; see `train`."""
        place = SessionPlace(url=session.url, storage_options=session.parameters.storage_options)

        def work(context: JobContext) -> Classifier:
            session.refresh()
            with restored(session, context.clock, context.emit) as (task, opening):
                around = surroundings(place, session.parameters, context)
                trained = advance_session(task, around, opening, drive_options(session.parameters))
            return cls._of_trained(trained, task.parameters)

        return Job(work)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint | str, storage_options: Mapping[str, object] | None = None
    ) -> Classifier:
        """The classifier of a checkpoint, given itself or by its URL.

        Every training checkpoint and every later one has one. Raises `NoUsableCheckpoint`, `SessionNotFound`,
        `DamagedData`.
        """
        url = checkpoint if isinstance(checkpoint, str) else checkpoint.url
        trained, parameters = from_checkpoint(url, storage_options or {})
        return cls._of(trained.model, parameters, trained.metrics)

    @classmethod
    def load(cls, url: str | Path, storage_options: Mapping[str, object] | None = None) -> Classifier:
        """A saved `.safetensors` model, a session (its newest classifier), or a checkpoint, by path or URL.

        Raises `ModelNotFound`, `NoUsableCheckpoint`, `DamagedData`, `NewerFormat`.
        """
        trained, parameters = load_model(str(url), storage_options or {})
        return cls._of(trained.model, parameters, trained.metrics)

    @classmethod
    def _of_trained(cls, trained: Trained, parameters: ModelParameters) -> Classifier:
        return cls._of(trained.model, parameters, trained.metrics)

    # What it is

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that it knows."""
        return self._predictor.model.labels

    @property
    def model_parameters(self) -> ModelParameters | None:
        """What it was trained with; None for one that was loaded from a file."""
        return self._parameters

    @property
    def model_digest(self) -> str:
        """SHA-256 over its trained tensors: two trainings that are the same to the bit have the same."""
        return self._predictor.model.digest

    @property
    def training_metrics(self) -> ClassifierMetrics:
        """On the images it was trained on; not `is_valid` where they are not known."""
        return self._part("training")

    @property
    def validation_metrics(self) -> ClassifierMetrics:
        """On the images held out; not `is_valid` where none were."""
        return self._part("validation")

    @property
    def testing_metrics(self) -> ClassifierMetrics:
        """On the test set; not `is_valid` where none was given."""
        return self._part("test")

    def _part(self, name: str) -> ClassifierMetrics:
        return self._metrics.get(name) or ClassifierMetrics.invalid(f"there are no {name} metrics of this model")

    def __repr__(self) -> str:
        return f"<Classifier of {len(self.classes)} classes, {self._predictor.model.feature_extractor.name}>"

    # Use

    def predict(
        self, image: ImageInput, top: int | None = None, storage_options: Mapping[str, object] | None = None
    ) -> Prediction:
        """The label of one image: a path, a URL, the bytes of a file, a PIL image, or an array.

        Arrays are uint8 [H, W, 3], RGB, upright. `top` is how many labels to rank; `storage_options` are fsspec's, for
        a URL. Raises `UnreadableImage`, and `StoreError` where the bytes cannot be had.
        """
        return self.predictions([image], top, storage_options)[0]

    def predictions(
        self,
        images: Iterable[ImageInput],
        top: int | None = None,
        storage_options: Mapping[str, object] | None = None,
    ) -> list[Prediction]:
        """The labels of several images, in order; see `predict`."""
        side, ranked = self._predictor.model.side, self.top_labels if top is None else top
        found: list[Prediction] = []
        for image in images:
            probabilities = self._predictor.probabilities([read_picture(image, side, storage_options)])
            found.append(prediction_of(self.classes, probabilities[0], ranked))
        return found

    def evaluate(self, data: DataSource) -> ClassifierMetrics:
        """Metrics on other labelled images; ones that cannot be read are left out. Raises `UnusableData`."""
        return self.evaluate_images(data).metrics

    def evaluate_images(self, data: DataSource) -> Evaluation:
        """Like `evaluate`, with what was said of every image and which could not be read."""
        return evaluate_source(self._predictor, data)

    def write(
        self,
        url: str | Path,
        metadata: ModelMetadata | None = None,
        storage_options: Mapping[str, object] | None = None,
    ) -> ExportReport:
        """Writes the classifier, atomically, to a path or URL that ends in `.mlmodel` or `.safetensors`.

        The file's answers are compared with the classifier's first. Raises `InvalidParameter` for another ending or
        for what the format cannot express, `InternalError` if the answers differ, and `StoreError`.
        """
        from mlsession.export.coreml import CoreMLExporter
        from mlsession.export.safetensors import SafetensorsExporter
        from mlsession.export.verify import probe_images
        from mlsession.export.write import export_model

        model = self._predictor.model
        return export_model(
            model,
            str(url),
            metadata or ModelMetadata(),
            probe_images(4, model.side),
            {".mlmodel": CoreMLExporter(), ".safetensors": SafetensorsExporter()},
            storage_options,
        )


def _request(
    data: DataSource,
    parameters: ModelParameters | None,
    session: SessionParameters | None,
    testing: DataSource | None,
) -> Request:
    chosen, model = session or SessionParameters(), parameters or ModelParameters()
    if chosen.url is not None:
        check_apart(str(chosen.url), tuple(filter(None, (data, model.validation.source, testing))))
    return Request(
        data=data,
        parameters=model,
        session=chosen,
        place=SessionPlace.of(chosen),
        testing=testing,
    )
