"""What a trained classifier knows of itself: labels, parameters, and how its training and evaluation went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.advising.advice import Verdict
from mlsession.augment.views import ViewPlan
from mlsession.classifier.predictor import Predictor
from mlsession.display.html import card, facts
from mlsession.errors import UsageError
from mlsession.metrics.images import ImageResults
from mlsession.metrics.report import ClassifierMetrics
from mlsession.metrics.text import summary_line
from mlsession.phases.chosen_extractor import ExtractorChoice
from mlsession.phases.evaluated import PartName
from mlsession.training.findings.results import StoredResults, check_part, no_results
from mlsession.training.parameters import ModelParameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Findings:
    """What a session has found of a model; nothing of one that comes out of a file."""

    metrics: Mapping[str, ClassifierMetrics] = field(default_factory=dict)
    """By part; parts without images, or not evaluated, are absent."""
    history: Mapping[str, list[float]] = field(default_factory=dict)
    """Metrics of training by iteration."""
    views: ViewPlan | None = None
    """Those of training images that it was trained on; None where nobody knows."""
    extractor_choice: ExtractorChoice | None = None
    """How its extractor was chosen; None where that was given, or nobody knows."""
    results: StoredResults | None = None
    """Where the results of each image lie; None if it was not evaluated."""


class ClassifierRecord:
    """The part of `Classifier` that answers questions about it, and computes nothing."""

    def __init__(self, predictor: Predictor, parameters: ModelParameters | None, findings: Findings) -> None:
        self._predictor = predictor
        self._parameters = parameters
        self._findings = findings

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that it knows."""
        return self._predictor.model.labels

    @property
    def model_parameters(self) -> ModelParameters | None:
        """What it was trained with; None for one that was loaded from a file."""
        return self._parameters

    @property
    def extractor_choice(self) -> ExtractorChoice | None:
        """Which extractor its session chose, with the scores and differences that decided it.

        None for one whose extractor was given, and for one that was loaded from a file.
        """
        return self._findings.extractor_choice

    @property
    def model_digest(self) -> str:
        """SHA-256 over its trained tensors: two trainings that are the same to the bit have the same."""
        return self._predictor.model.digest

    @property
    def temperature(self) -> float:
        """What the logits were divided by, so that confidences are as often right as they say; 1.0: by nothing.

        Above 1 it made the classifier less sure, below 1 more. All probabilities, exports too, have it in them.
        """
        return self._predictor.model.temperature

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

    @property
    def history(self) -> dict[str, list[float]]:
        """Metrics by training iteration: `accuracy`, `loss`, and with validation images `validation_accuracy`, ...

        Empty for a classifier that was loaded from a file.
        """
        return {name: list(values) for name, values in self._findings.history.items()}

    def results(self, part: PartName = "test") -> ImageResults:
        """What was said of each image of a part, read from the session at each call.

        `part` is "training", "validation" or "test". Raises `UsageError` where no results are stored: `part` had no
        images, or the classifier is that of a file or of a checkpoint before its evaluation; `StoreError` and
        `DamagedData` where they cannot be read, such as after the session was deleted.
        """
        part = check_part(part)
        if self._findings.results is None:
            raise no_results(part)
        return self._findings.results.read(part)

    @property
    def advice(self) -> Verdict:
        """What limits the classifier, and the one step to try next; gathered from its session at each call.

            print(classifier.advice)

        Raises `UsageError` for one that was not evaluated in a session, or whose session has trained on since;
        `StoreError` and `DamagedData` where that cannot be read.
        """
        from mlsession.training.findings.advising import advice_of  # By way of the summary of all that a session holds.

        if self._findings.results is None:
            raise UsageError("nothing is known of how this model was trained; ask the session that it was trained in")
        return advice_of(self._findings.results)

    def plot_history(
        self, path: str | Path | None = None, storage_options: Mapping[str, object] | None = None
    ) -> Figure:
        """The course of its training; see `mlsession.plot_history`."""
        from mlsession.plots.history import plot_history

        return plot_history(self.history, path, storage_options=storage_options)

    def plot_confusion(
        self,
        part: PartName = "test",
        path: str | Path | None = None,
        normalize: bool = False,
        storage_options: Mapping[str, object] | None = None,
    ) -> Figure:
        """The confusion matrix of a part; see `mlsession.plot_confusion`."""
        from mlsession.plots.confusion import plot_confusion

        return plot_confusion(self._part(check_part(part)), path, normalize=normalize, storage_options=storage_options)

    def plot_reliability(
        self,
        part: PartName = "test",
        path: str | Path | None = None,
        storage_options: Mapping[str, object] | None = None,
    ) -> Figure:
        """How far the confidences on a part can be believed; see `mlsession.plot_reliability`."""
        from mlsession.plots.reliability import plot_reliability

        return plot_reliability(self._part(check_part(part)), path, storage_options=storage_options)

    def _part(self, name: PartName) -> ClassifierMetrics:
        known = self._findings.metrics.get(name)
        return known or ClassifierMetrics.invalid(f"there are no {name} metrics of this model")

    def _repr_html_(self) -> str:
        accuracies = {
            name.replace("_", " "): summary_line(metrics)
            for name in ("training_metrics", "validation_metrics", "testing_metrics")
            if (metrics := getattr(self, name)).is_valid
        }
        model = self._predictor.model
        about = {
            "extractor": model.feature_extractor.name,
            "classes": ", ".join(self.classes[:20]) + (", ..." if len(self.classes) > 20 else ""),
            "model digest": f"{self.model_digest[:16]}...",
        }
        return card(type(self).__name__, f"of {len(self.classes)} classes", [facts({**about, **accuracies})])

    def __repr__(self) -> str:
        extractor = self._predictor.model.feature_extractor.name
        return f"<{type(self).__name__} of {len(self.classes)} classes, {extractor}>"
