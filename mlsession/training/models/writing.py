"""The part of `Classifier` that leaves for other programs: files in many formats, and a Core ML model in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.export.metadata import ModelMetadata
from mlsession.export.report import ExportReport
from mlsession.training.models.exporting import core_ml_model, write_model
from mlsession.training.models.model_folder import ModelFolder, write_folder
from mlsession.training.models.predicting import PredictingClassifier

if TYPE_CHECKING:
    from coremltools.models import MLModel


class WritingClassifier(PredictingClassifier):
    """What a trained classifier is written as."""

    def write(
        self,
        url: str | Path,
        metadata: ModelMetadata | None = None,
        storage_options: Mapping[str, object] | None = None,
        *,
        compress: str | None = None,
        max_changed: float | None = None,
    ) -> ExportReport:
        """Writes the classifier, atomically, in the format that a path or URL ends with; docs/exports.md has them all.

            .mlmodel .mlpackage .onnx .pt2 .safetensors      and those of other packages

        The export's answers are compared with the classifier's first, on photos of its session where they can be read;
        the report is also written beside it. `compress` puts Core ML models into fewer bits: "float16", "int8",
        "palettize8", "palettize6" or "palettize4"; the report says what that costs, and where more than the share
        `max_changed` (0.05) of the photos get another label than from the classifier it is an error.
        Raises `InvalidParameter` for another ending or for what the format cannot express, and for a compression that
        changes too much, `UsageError` where a package is missing, `InternalError` if the answers differ, and
        `StoreError`.
        """
        found, about = self._findings, metadata or ModelMetadata()
        return write_model(
            self._predictor.model,
            str(url),
            about,
            found.metrics,
            storage_options,
            found.results,
            compress=compress,
            max_changed=max_changed,
        )

    def write_folder(
        self,
        url: str | Path,
        metadata: ModelMetadata | None = None,
        formats: Iterable[str] = (),
        storage_options: Mapping[str, object] | None = None,
        *,
        compress: str | None = None,
        max_changed: float | None = None,
    ) -> ModelFolder:
        """Writes the classifier as a folder with a model card, which can be uploaded to the Hugging Face Hub as it is.

            classifier.write_folder("Animals", ml.ModelMetadata(license="MIT"), formats=["onnx", "mlpackage"])

        The saved model is in it, which `load` takes from the folder, and the model in `formats`, proved as by `write`;
        their reports, the labels, all figures; and README.md, which says what is known of the model, and how to use
        each file. It holds no paths, hosts or credentials. An existing folder keeps what else it holds. `compress` and
        `max_changed` are those of `write`, for its Core ML files; the card says what they cost.
        Raises as `write` does; `InvalidParameter` also where a file of such a name is there that was not written so,
        and where somebody has worked on the card: nothing is written then.
        """
        about, model = metadata or ModelMetadata(), self._predictor.model
        return write_folder(
            model,
            str(url),
            about,
            self._parameters,
            self._findings,
            formats,
            storage_options,
            compress=compress,
            max_changed=max_changed,
        )

    @property
    def model(self) -> MLModel:
        """The Core ML model in memory, as coremltools' `MLModel`; made and proved at the first use, in seconds.

        On a Mac it predicts. Raises as `write` does.
        """
        return self._core_ml_model

    @cached_property
    def _core_ml_model(self) -> MLModel:
        return core_ml_model(self._predictor.model, self._findings.metrics)
