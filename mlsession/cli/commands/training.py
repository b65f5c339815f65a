"""The commands that train; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Any

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options
from mlsession.cli.options import launching as launch_options
from mlsession.cli.options.taking import taking
from mlsession.cli.options.training import HEADINGS, TrainArguments


@taking(TrainArguments, HEADINGS)
def train(given: TrainArguments) -> Work:
    """Train a classifier, or go on with it.

    The same line again resumes where it stopped, or returns at once when all is done.
    """

    def work() -> int:
        from mlsession.cli.signals import interrupted_by_signals

        with interrupted_by_signals() as check_signals:
            from mlsession.cli.running.train import train

            return train(given, check_signals)

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
