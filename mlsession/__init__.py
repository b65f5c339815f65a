"""Resumable training sessions, and an image classifier built on them.

    import mlsession as ml

    classifier = ml.Classifier(ml.DataSource.labeled_directories("animals/train"))
    print(classifier.predict("cat.jpg").label)

Names are loaded when they are first used, so importing this package loads no torch.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlsession.advising.advice import Advice as Advice
    from mlsession.advising.advice import Verdict as Verdict
    from mlsession.augment.automatic import AutomaticAugmentation as AutomaticAugmentation
    from mlsession.augment.options import Blur as Blur
    from mlsession.augment.options import Crop as Crop
    from mlsession.augment.options import Expose as Expose
    from mlsession.augment.options import Flip as Flip
    from mlsession.augment.options import Noise as Noise
    from mlsession.augment.options import Rotate as Rotate
    from mlsession.classifier.prediction import Prediction as Prediction
    from mlsession.curves.curve import LearningCurve as LearningCurve
    from mlsession.data.source import DataSource as DataSource
    from mlsession.data.validation import Validation as Validation
    from mlsession.errors import MLSessionError as MLSessionError
    from mlsession.export.metadata import ModelMetadata as ModelMetadata
    from mlsession.extractors.automatic import AutomaticExtractor as AutomaticExtractor
    from mlsession.extractors.catalog import extractor_named as extractor_named
    from mlsession.extractors.catalog import scene_print as scene_print
    from mlsession.extractors.catalog import timm_extractor as timm_extractor
    from mlsession.extractors.catalog import torchvision_extractor as torchvision_extractor
    from mlsession.extractors.custom.options import CustomFeatureExtractor as CustomFeatureExtractor
    from mlsession.finetuning.options import FineTune as FineTune
    from mlsession.heads.options import AutomaticClassifier as AutomaticClassifier
    from mlsession.heads.options import LogisticRegressor as LogisticRegressor
    from mlsession.heads.options import MultilayerPerceptron as MultilayerPerceptron
    from mlsession.images.read import read_image as read_image
    from mlsession.inference.report import PredictionReport as PredictionReport
    from mlsession.job.callbacks import Callback as Callback
    from mlsession.job.job import Job as Job
    from mlsession.job.run import run_task as run_task
    from mlsession.job.signals import stop_on_signals as stop_on_signals
    from mlsession.job.view import Progress as Progress
    from mlsession.metrics.images import ImageResult as ImageResult
    from mlsession.metrics.images import ImageResults as ImageResults
    from mlsession.metrics.operating import OperatingPoint as OperatingPoint
    from mlsession.metrics.operating import Rejection as Rejection
    from mlsession.metrics.report import ClassifierMetrics as ClassifierMetrics
    from mlsession.plots.confusion import plot_confusion as plot_confusion
    from mlsession.plots.history import plot_history as plot_history
    from mlsession.plots.learning import plot_learning_curve as plot_learning_curve
    from mlsession.plots.reliability import plot_reliability as plot_reliability
    from mlsession.reviewing.report import ReviewReport as ReviewReport
    from mlsession.scanning.report import ScanReport as ScanReport
    from mlsession.scanning.scan import scan as scan
    from mlsession.session.checkpoint import Checkpoint as Checkpoint
    from mlsession.session.parameters import SessionParameters as SessionParameters
    from mlsession.session.phase import Phase as Phase
    from mlsession.session.session import TrainingSession as TrainingSession
    from mlsession.session.upkeep.garbage import Garbage as Garbage
    from mlsession.session.upkeep.integrity import Repair as Repair
    from mlsession.session.upkeep.integrity import Verification as Verification
    from mlsession.session.watching.status import Status as Status
    from mlsession.store.buckets.credentials import FreshOptions as FreshOptions
    from mlsession.training.algorithms import TransferLearning as TransferLearning
    from mlsession.training.classifier import Classifier as Classifier
    from mlsession.training.findings.advising import advise as advise
    from mlsession.training.findings.learning import learning_curve as learning_curve
    from mlsession.training.findings.reviewing import review as review
    from mlsession.training.parameters import ModelParameters as ModelParameters

__version__ = "0.1.0"

_HOMES = MappingProxyType(
    {
        "Advice": "mlsession.advising.advice",
        "AutomaticAugmentation": "mlsession.augment.automatic",
        "AutomaticClassifier": "mlsession.heads.options",
        "AutomaticExtractor": "mlsession.extractors.automatic",
        "Blur": "mlsession.augment.options",
        "Callback": "mlsession.job.callbacks",
        "Checkpoint": "mlsession.session.checkpoint",
        "Classifier": "mlsession.training.classifier",
        "ClassifierMetrics": "mlsession.metrics.report",
        "Crop": "mlsession.augment.options",
        "CustomFeatureExtractor": "mlsession.extractors.custom.options",
        "DataSource": "mlsession.data.source",
        "Expose": "mlsession.augment.options",
        "FineTune": "mlsession.finetuning.options",
        "Flip": "mlsession.augment.options",
        "FreshOptions": "mlsession.store.buckets.credentials",
        "Garbage": "mlsession.session.upkeep.garbage",
        "ImageResult": "mlsession.metrics.images",
        "ImageResults": "mlsession.metrics.images",
        "Job": "mlsession.job.job",
        "LearningCurve": "mlsession.curves.curve",
        "LogisticRegressor": "mlsession.heads.options",
        "MLSessionError": "mlsession.errors",
        "ModelMetadata": "mlsession.export.metadata",
        "ModelParameters": "mlsession.training.parameters",
        "MultilayerPerceptron": "mlsession.heads.options",
        "Noise": "mlsession.augment.options",
        "OperatingPoint": "mlsession.metrics.operating",
        "Phase": "mlsession.session.phase",
        "Prediction": "mlsession.classifier.prediction",
        "PredictionReport": "mlsession.inference.report",
        "Progress": "mlsession.job.view",
        "Rejection": "mlsession.metrics.operating",
        "Repair": "mlsession.session.upkeep.integrity",
        "ReviewReport": "mlsession.reviewing.report",
        "Rotate": "mlsession.augment.options",
        "ScanReport": "mlsession.scanning.report",
        "SessionParameters": "mlsession.session.parameters",
        "Status": "mlsession.session.watching.status",
        "TrainingSession": "mlsession.session.session",
        "TransferLearning": "mlsession.training.algorithms",
        "Validation": "mlsession.data.validation",
        "Verdict": "mlsession.advising.advice",
        "Verification": "mlsession.session.upkeep.integrity",
        "advise": "mlsession.training.findings.advising",
        "extractor_named": "mlsession.extractors.catalog",
        "learning_curve": "mlsession.training.findings.learning",
        "plot_confusion": "mlsession.plots.confusion",
        "plot_history": "mlsession.plots.history",
        "plot_learning_curve": "mlsession.plots.learning",
        "plot_reliability": "mlsession.plots.reliability",
        "read_image": "mlsession.images.read",
        "review": "mlsession.training.findings.reviewing",
        "run_task": "mlsession.job.run",
        "scan": "mlsession.scanning.scan",
        "scene_print": "mlsession.extractors.catalog",
        "stop_on_signals": "mlsession.job.signals",
        "timm_extractor": "mlsession.extractors.catalog",
        "torchvision_extractor": "mlsession.extractors.catalog",
    }
)

__all__ = [
    "Advice",
    "AutomaticAugmentation",
    "AutomaticClassifier",
    "AutomaticExtractor",
    "Blur",
    "Callback",
    "Checkpoint",
    "Classifier",
    "ClassifierMetrics",
    "Crop",
    "CustomFeatureExtractor",
    "DataSource",
    "Expose",
    "FineTune",
    "Flip",
    "FreshOptions",
    "Garbage",
    "ImageResult",
    "ImageResults",
    "Job",
    "LearningCurve",
    "LogisticRegressor",
    "MLSessionError",
    "ModelMetadata",
    "ModelParameters",
    "MultilayerPerceptron",
    "Noise",
    "OperatingPoint",
    "Phase",
    "Prediction",
    "PredictionReport",
    "Progress",
    "Rejection",
    "Repair",
    "ReviewReport",
    "Rotate",
    "ScanReport",
    "SessionParameters",
    "Status",
    "TrainingSession",
    "TransferLearning",
    "Validation",
    "Verdict",
    "Verification",
    "__version__",
    "advise",
    "extractor_named",
    "learning_curve",
    "plot_confusion",
    "plot_history",
    "plot_learning_curve",
    "plot_reliability",
    "read_image",
    "review",
    "run_task",
    "scan",
    "scene_print",
    "stop_on_signals",
    "timm_extractor",
    "torchvision_extractor",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
