"""The commands that train; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Any

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options
from mlsession.cli.options import exporting as export_options
from mlsession.cli.options import extractors as extractor_options
from mlsession.cli.options import launching as launch_options
from mlsession.cli.options import tuning as tuning_options


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
    extractor: extractor_options.Extractor = "scene_print",
    extractor_weights: options.ExtractorWeights = None,
    extractor_output: extractor_options.ExtractorOutput = None,
    extractor_option: extractor_options.ExtractorOptions = [],
    precision: options.PrecisionName = "auto",
    backend: options.BackendName = "auto",
    accelerator: options.AcceleratorName = "auto",
    decoder: options.DecoderName = "auto",
    classifier: options.Head = "logistic",
    layer_sizes: options.LayerSizes = None,
    class_weight: options.ClassWeights = [],
    tune: options.Tune = "cross-validation",
    fine_tune: tuning_options.FineTuneFlag = False,
    epochs: tuning_options.Epochs = None,
    learning_rate: tuning_options.LearningRate = None,
    batch_size: tuning_options.BatchSize = None,
    unfreeze: tuning_options.Unfreeze = None,
    fine_tune_option: tuning_options.FineTuneOptions = [],
    augment: options.Augment = None,
    seed: options.Seed = 0,
    checkpoint_interval: options.CheckpointInterval = "auto",
    keep_last: options.KeepLast = None,
    keep_best: options.KeepBest = None,
    report_interval: options.ReportInterval = 1,
    logger: options.Loggers = [],
    cache: options.Cache = "auto",
    cache_size: options.CacheSize = "10GB",
    verify_content: options.VerifyContent = False,
    storage_option: options.StorageOption = [],
    export: export_options.Export = [],
    author: options.Author = "",
    license: options.License = "",
    description: options.Description = None,
    version: options.ModelVersion = None,
    metadata: options.Metadata = [],
    compress: export_options.Compress = None,
    max_changed: export_options.MaxChanged = None,
    format: export_options.Format = [],
    devices: launch_options.Devices = "1",
    num_nodes: launch_options.NumNodes = 1,
    strategy: launch_options.Strategy = "auto",
    create_only: launch_options.CreateOnly = False,
    take_over: options.TakeOver = False,
    json: options.Json = False,
) -> Work:
    """Train a classifier, or go on with it.

    The same line again resumes where it stopped, or returns at once when all is done."""
    return _training(dict(locals()))


def _training(given: dict[str, Any]) -> Work:
    """The work of `train`, on its arguments."""

    def work() -> int:
        from mlsession.cli.signals import interrupted_by_signals

        with interrupted_by_signals() as check_signals:
            from mlsession.cli.running.train import TrainArguments, train

            return train(TrainArguments(**given), check_signals)

    return work


def worker(
    url: options.Url,
    on_modified_data: options.OnModifiedData = "fail",
    checkpoint_interval: options.CheckpointInterval = "auto",
    keep_last: options.KeepLast = None,
    keep_best: options.KeepBest = None,
    report_interval: options.ReportInterval = 1,
    cache: options.Cache = "auto",
    cache_size: options.CacheSize = "10GB",
    storage_option: options.StorageOption = [],
    take_over: options.TakeOver = False,
    strategy: launch_options.Strategy = "auto",
) -> Work:
    """Train a session that was made, as one of several processes.

    For launchers such as torchrun and srun, which say which one it is; alone it is the only one. See docs/devices.md.
    """
    given: dict[str, Any] = dict(locals())

    def work() -> int:
        from mlsession.cli.signals import interrupted_by_signals
        from mlsession.job.parents import end_with_launcher

        end_with_launcher()  # Before the imports, which take seconds, in which it may go.
        with interrupted_by_signals() as check_signals:
            from mlsession.cli.running.worker import WorkerArguments, worker

            return worker(WorkerArguments(**given), check_signals)

    return work


COMMANDS = (train, worker)
