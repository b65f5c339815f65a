"""The part of `Classifier` that says what images show: one, a few, or as many as a bucket holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from mlsession.classifier.prediction import Prediction, prediction_of
from mlsession.job.run import SessionPlace
from mlsession.session.parameters import SessionParameters
from mlsession.training.pictures import read_picture
from mlsession.training.record import ClassifierRecord

if TYPE_CHECKING:
    from mlsession.inference.images import ImagesInput
    from mlsession.inference.report import PredictionReport
    from mlsession.job.job import Job
    from mlsession.training.pictures import ImageInput


class PredictingClassifier(ClassifierRecord):
    """What a trained classifier says of images."""

    top_labels: ClassVar[int] = 5
    """How many labels a prediction ranks, at most."""

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

    def make_prediction_job(
        self,
        data: ImagesInput,
        output: str | Path,
        session: SessionParameters | None = None,
        *,
        top_k: int = 1,
        on_bad_image: Literal["skip", "fail"] = "skip",
        storage_options: Mapping[str, object] | None = None,
    ) -> Job[PredictionReport]:
        """Starts, resumes or extends the prediction of many images into a table: the same call for all three.

            classifier.make_prediction_job("s3://bucket/photos", "results.csv").result()

        `data`: a folder, of which all images at any depth are taken, a manifest (.csv), an image, a list of those, or
        a `DataSource`; labels are of no account. `output`: a path or URL that ends in .csv or .parquet, written in one
        step in the end; docs/predict.md has its columns. `top_k`: labels of each image. Images that cannot be read are
        named there with the reason, or end the job if `on_bad_image` is "fail". `storage_options` are fsspec's, for
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
            )
        )
