"""The part of `Classifier` that says what images show: one, a few, or as many as a bucket holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from mlsession.augment.averaged import AverageViews, averaged_views
from mlsession.augment.making import ViewMaker
from mlsession.augment.views import ViewPlan
from mlsession.classifier.prediction import Prediction, prediction_of
from mlsession.job.run import SessionPlace
from mlsession.session.parameters import SessionParameters
from mlsession.training.models.pictures import read_views
from mlsession.training.models.record import ClassifierRecord

if TYPE_CHECKING:
    from torch import nn

    from mlsession.classifier.plain import Output
    from mlsession.inference.images import ImagesInput
    from mlsession.inference.report import PredictionReport
    from mlsession.job.job import Job
    from mlsession.training.models.pictures import ImageInput


class PredictingClassifier(ClassifierRecord):
    """What a trained classifier says of images."""

    top_labels: ClassVar[int] = 5
    """How many labels a prediction ranks, at most."""

    def predict(
        self,
        image: ImageInput,
        top: int | None = None,
        storage_options: Mapping[str, object] | None = None,
        *,
        average_views: AverageViews = None,
    ) -> Prediction:
        """The label of one image: a path, a URL, the bytes of a file, a PIL image, or an array.

        Arrays are uint8 [H, W, 3], RGB, upright. `top` is how many labels to rank; `storage_options` are fsspec's, for
        a URL. `average_views` averages the probabilities over views of the image: {"flip"} over itself and its mirror
        image, "training" over the views that it was trained on; see docs/predict.md.
        Raises `UnreadableImage`, and `StoreError` where the bytes cannot be had.
        """
        return self.predictions([image], top, storage_options, average_views=average_views)[0]

    def predictions(
        self,
        images: Iterable[ImageInput],
        top: int | None = None,
        storage_options: Mapping[str, object] | None = None,
        *,
        average_views: AverageViews = None,
    ) -> list[Prediction]:
        """The labels of several images, in order; see `predict`."""
        ranked = self.top_labels if top is None else top
        maker = ViewMaker(self._views(average_views), self._predictor.model.side)
        found: list[Prediction] = []
        for image in images:
            probabilities = self._predictor.probabilities(read_views(image, maker, storage_options)).mean(axis=0)
            found.append(prediction_of(self.classes, probabilities, ranked))
        return found

    def to_torch(self, output: Output = "probabilities") -> nn.Module:
        """The classifier as a plain `torch.nn.Module`, in `eval` mode, in memory of its own.

            module = classifier.to_torch()
            with torch.inference_mode():
                probabilities = module(pixels)

        It takes float32 [N, 3, side, side], RGB pixels from 0 to 255, and gives float32 [N, K], in the order of
        `classes`: "probabilities", or with `output="logits"` what a softmax makes them of (the temperature is in it).
        Crop and normalisation are inside. It is run, trained, compiled, and saved with `torch.save` like any other
        module, and needs nothing of mlsession then; docs/lightning.md has an example.

        Raises `InvalidParameter` for another `output`, and `ModelNotFound` where the weights of an extractor are gone.
        """
        from mlsession.classifier.plain import plain_module

        return plain_module(self._predictor.model, output)

    @property
    def side(self) -> int:
        """Height and width in pixels of the pictures that its network takes; see `to_torch`."""
        return self._predictor.model.side

    def check_views(self, average_views: AverageViews) -> None:
        """Raises `InvalidParameter` where `average_views` is nothing that `predict` could take of this classifier."""
        self._views(average_views)

    def _views(self, choice: AverageViews) -> ViewPlan:
        return averaged_views(choice, self._findings.views)

    def make_prediction_job(
        self,
        data: ImagesInput,
        output: str | Path,
        session: SessionParameters | None = None,
        *,
        top_k: int = 1,
        on_bad_image: Literal["skip", "fail"] = "skip",
        average_views: AverageViews = None,
        min_confidence: float = 0.0,
        storage_options: Mapping[str, object] | None = None,
    ) -> Job[PredictionReport]:
        """Starts, resumes or extends the prediction of many images into a table: the same call for all three.

            classifier.make_prediction_job("s3://bucket/photos", "results.csv").result()

        `data`: a folder, of which all images at any depth are taken, a manifest (.csv), an image, a list of those, or
        a `DataSource`; labels are of no account. `output`: a path or URL that ends in .csv or .parquet, written in one
        step in the end; docs/predict.md has its columns. `top_k`: labels of each image. Images that cannot be read are
        named there with the reason, or end the job if `on_bad_image` is "fail". `average_views` as in `predict`; the
        session fixes it. Images that are less sure of their best label than `min_confidence` get none, but the reason
        and the label in it; `ClassifierMetrics.reject` says what to ask for. `storage_options` are fsspec's, for
        `data` and `output`, and for the session unless it has some of its own.

        The session lies beside the output unless `session` says where, such as `results.csv.mlsession`, and stays
        there: the same call again returns at once, or with `on_modified_data="update"` predicts what is new.

        Raises `InvalidParameter`, `UnusableData` and `StoreError` for what cannot be read or written to at all; for
        the rest see `inference.prepare.prediction_job`.
        """
        from mlsession.inference.images import image_source
        from mlsession.inference.output import Output
        from mlsession.inference.prepare import PredictionRequest, prediction_job

        to, chosen = Output(url=str(output), storage_options=storage_options), session or SessionParameters()
        chosen = replace(
            chosen,
            url=to.session_url if chosen.url is None else chosen.url,
            storage_options=chosen.storage_options or storage_options or {},
        )
        return prediction_job(
            PredictionRequest(
                model=self._predictor.model,
                images=image_source(data, storage_options),
                output=to,
                session=chosen,
                place=SessionPlace.of(chosen),
                top_k=top_k,
                on_bad_image=on_bad_image,
                min_confidence=min_confidence,
                views=self._views(average_views),
            )
        )
