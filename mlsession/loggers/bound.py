"""A logger on a session's run: made by its name or as it was given, told which run it is to go on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

from mlsession.errors import InvalidParameter
from mlsession.loggers.held import Held
from mlsession.loggers.run import LoggedRun
from mlsession.session.loggers import PACKAGES, LoggerName, MetricsLogger

Ending: TypeAlias = Literal["success", "failed", "stopped"]
LIGHTNING = "pytorch_lightning"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundLogger:
    """A logger on a session's run."""

    logger: MetricsLogger
    where: str = ""
    """The folder or the service that it writes to, perhaps with credentials; "" where that is not known."""
    held: Held | None = None
    """What its run holds; None where nobody can tell."""
    prefix: str = ""
    """What it puts before all names."""
    stopped: str = "failed"
    """Its word for a run that was stopped and may go on; Lightning has none of its own."""
    has_summary: bool = False
    """Whether its hyperparameters are shown beside figures, as those of TensorBoard."""
    close: Callable[[int], None] | None = None
    """Frees what is the process's, with an exit code; only of one that we have made."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Logs those that are not there already."""
        new = self._new(figures, step)
        if new:
            self.logger.log_metrics(new, step=step)
            self.logger.save()
        if self.held is not None:
            for name, value in new.items():
                self.held.add(self._stored(name), step, value)

    def rewind(self, phase: str, iteration: int) -> None:
        """The session goes on after this iteration of a phase."""
        if self.held is not None:
            self.held.rewind(phase, iteration)

    def log_summary(self, parameters: Mapping[str, Any], figures: Mapping[str, float], step: int) -> None:
        """Logs what the session has come to."""
        if self.has_summary and self._new(figures, step):
            summarized: Any = self.logger  # Of `TensorBoardLogger`: it logs the figures, too.
            summarized.log_hyperparams(dict(parameters), dict(figures), step)
            self.logger.save()
        else:
            self.log(figures, step)

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Logs what the session was made with."""
        try:
            self.logger.log_hyperparams(dict(parameters))
        except NotImplementedError:
            return  # A logger for figures alone, such as the `CSVLogger` of Fabric.
        self.logger.save()

    def end(self, ending: Ending) -> None:
        """Finalizes it."""
        self.logger.finalize(self.stopped if ending == "stopped" else ending)
        if self.close is not None:
            self.close(0 if ending == "success" else 1)

    def _new(self, figures: Mapping[str, float], step: int) -> dict[str, float]:
        held = self.held
        if held is None:
            return dict(figures)
        return {name: value for name, value in figures.items() if not held.has(self._stored(name), step, value)}

    def _stored(self, name: str) -> str:
        """What a figure is called in the run."""
        return f"{self.prefix}-{name}" if self.prefix else name


def check_installed(name: LoggerName) -> None:
    """Raises `InvalidParameter` where what a named logger takes is not installed."""
    needed = PACKAGES[name.kind]
    if find_spec(LIGHTNING) is None:
        raise InvalidParameter("logger", str(name), "Lightning is not installed: pip install pytorch-lightning")
    if needed and not any(find_spec(package) for package in needed):
        raise InvalidParameter("logger", str(name), f"{needed[0]} is not installed: pip install {needed[0]}")


def bound(choice: LoggerName | MetricsLogger, run: LoggedRun) -> BoundLogger:
    """Raises whatever the logger raises."""
    from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger

    named = isinstance(choice, LoggerName)
    logger = _made(choice, run) if isinstance(choice, LoggerName) else choice
    if isinstance(logger, CSVLogger | TensorBoardLogger):
        if logger._version is None:
            logger._version = run.id
        return _in_folder(logger)
    if isinstance(logger, MLFlowLogger):
        from mlsession.loggers import mlflow

        held = mlflow.go_on(logger, run)
        return BoundLogger(
            logger=logger, where=logger._tracking_uri, held=held, prefix=logger._prefix, stopped="KILLED"
        )
    if isinstance(logger, WandbLogger):
        from mlsession.loggers import wandb

        unread, folder = wandb.go_on(logger, run), logger.save_dir or ""
        close = (lambda code: logger.experiment.finish(exit_code=code)) if named else None
        return BoundLogger(logger=logger, where=folder, held=unread, prefix=logger._prefix, close=close)
    return BoundLogger(logger=logger)


def _in_folder(logger: Any) -> BoundLogger:
    """Of a `CSVLogger` or a `TensorBoardLogger`, whose runs are folders."""
    from pytorch_lightning.loggers import CSVLogger

    from mlsession.loggers import csv_file, tensorboard

    is_csv = isinstance(logger, CSVLogger)
    if not is_csv:
        tensorboard.take_own_file(logger)
    held: Held = csv_file.keep_rows(logger) if is_csv else tensorboard.held_by(logger)
    return BoundLogger(logger=logger, where=logger.log_dir, held=held, prefix=logger._prefix, has_summary=not is_csv)


def _made(name: LoggerName, run: LoggedRun) -> MetricsLogger:
    """A logger of Lightning on the run, in its folder."""
    from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger

    folder = name.directory or run.directory
    match name.kind:
        case "csv":
            return CSVLogger(folder, run.name, run.id)
        case "tensorboard":
            # What a run has come to is shown beside its hyperparameters at its end; -1 until then says nothing.
            return TensorBoardLogger(folder, run.name, run.id, default_hp_metric=False)
        case "mlflow":
            uri, artifacts = _tracking(folder)
            return MLFlowLogger(run.name, run.name, uri, artifact_location=artifacts)
        case _:
            Path(folder).mkdir(parents=True, exist_ok=True)
            return WandbLogger(run.name, folder, run.id, project=run.name, **_unheard())


def _tracking(folder: str) -> tuple[str, str | None]:
    """Where MLflow keeps runs, and artifacts: at a URI as it is; in a folder a database, as it gave up plain files."""
    if "://" in folder or folder.startswith(("file:", "databricks")):
        return folder, None
    path = Path(folder).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{(path / 'mlflow.db').as_posix()}", path.as_uri()


def _unheard() -> dict[str, Any]:
    """W&B without an account and without its own lines on the terminal."""
    import wandb

    return {"mode": "offline", "settings": wandb.Settings(silent=True)}
