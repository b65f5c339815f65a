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
    from mlsession.classifier.prediction import Prediction as Prediction
    from mlsession.data.source import DataSource as DataSource
    from mlsession.data.validation import Validation as Validation
    from mlsession.errors import MLSessionError as MLSessionError
    from mlsession.export.metadata import ModelMetadata as ModelMetadata
    from mlsession.extractors.catalog import scene_print as scene_print
    from mlsession.heads.options import LogisticRegressor as LogisticRegressor
    from mlsession.job.job import Job as Job
    from mlsession.job.run import run_task as run_task
    from mlsession.job.signals import stop_on_signals as stop_on_signals
    from mlsession.metrics.report import ClassifierMetrics as ClassifierMetrics
    from mlsession.session.checkpoint import Checkpoint as Checkpoint
    from mlsession.session.parameters import SessionParameters as SessionParameters
    from mlsession.session.phase import Phase as Phase
    from mlsession.session.session import TrainingSession as TrainingSession
    from mlsession.session.status import Status as Status
    from mlsession.training.classifier import Classifier as Classifier
    from mlsession.training.parameters import ModelParameters as ModelParameters
    from mlsession.training.parameters import TransferLearning as TransferLearning

__version__ = "0.1.0"

_HOMES = MappingProxyType(
    {
        "Checkpoint": "mlsession.session.checkpoint",
        "Classifier": "mlsession.training.classifier",
        "ClassifierMetrics": "mlsession.metrics.report",
        "DataSource": "mlsession.data.source",
        "Job": "mlsession.job.job",
        "LogisticRegressor": "mlsession.heads.options",
        "MLSessionError": "mlsession.errors",
        "ModelMetadata": "mlsession.export.metadata",
        "ModelParameters": "mlsession.training.parameters",
        "Phase": "mlsession.session.phase",
        "Prediction": "mlsession.classifier.prediction",
        "SessionParameters": "mlsession.session.parameters",
        "Status": "mlsession.session.status",
        "TrainingSession": "mlsession.session.session",
        "TransferLearning": "mlsession.training.parameters",
        "Validation": "mlsession.data.validation",
        "run_task": "mlsession.job.run",
        "scene_print": "mlsession.extractors.catalog",
        "stop_on_signals": "mlsession.job.signals",
    }
)

__all__ = [
    "Checkpoint",
    "Classifier",
    "ClassifierMetrics",
    "DataSource",
    "Job",
    "LogisticRegressor",
    "MLSessionError",
    "ModelMetadata",
    "ModelParameters",
    "Phase",
    "Prediction",
    "SessionParameters",
    "Status",
    "TrainingSession",
    "TransferLearning",
    "Validation",
    "__version__",
    "run_task",
    "scene_print",
    "stop_on_signals",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
