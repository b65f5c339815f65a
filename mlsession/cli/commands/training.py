"""The command that trains; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Any

from mlsession.cli import options
from mlsession.cli.commands import Work


def train(
    data: options.Data,
    session: options.Session = None,
    test: options.Test = None,
    validation: options.ValidationChoice = None,
    label_from: options.LabelFrom = "folder",
    labels: options.Labels = None,
    on_modified_data: options.OnModifiedData = "fail",
    on_bad_image: options.OnBadTrainingImage = "skip",
    allow_truncated: options.AllowTruncated = False,
    iterations: options.Iterations = None,
    extractor: options.Extractor = "scene_print",
    extractor_weights: options.ExtractorWeights = None,
    precision: options.PrecisionName = "auto",
    backend: options.BackendName = "auto",
    classifier: options.Head = "logistic",
    layer_sizes: options.LayerSizes = None,
    class_weight: options.ClassWeights = [],
    tune: options.Tune = "cross-validation",
    augment: options.Augment = None,
    seed: options.Seed = 0,
    checkpoint_interval: options.CheckpointInterval = "auto",
    keep_last: options.KeepLast = None,
    keep_best: options.KeepBest = None,
    report_interval: options.ReportInterval = 1,
    cache: options.Cache = "auto",
    cache_size: options.CacheSize = "10GB",
    verify_content: options.VerifyContent = False,
    storage_option: options.StorageOption = [],
    export: options.Export = [],
    author: options.Author = "",
    license: options.License = "",
    description: options.Description = None,
    version: options.ModelVersion = None,
    metadata: options.Metadata = [],
    take_over: options.TakeOver = False,
    json: options.Json = False,
) -> Work:
    """Train a classifier, or go on with it.

    The same line again resumes where it stopped, or returns at once when all is done.
    """
    given: dict[str, Any] = dict(locals())

    def work() -> int:
        from mlsession.cli.signals import interrupted_by_signals

        with interrupted_by_signals() as check_signals:
            from mlsession.cli.train import TrainArguments, train

            return train(TrainArguments(**given), check_signals)

    return work
