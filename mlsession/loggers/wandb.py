"""The run of a session in Weights & Biases: that with the session's id."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning.loggers import WandbLogger

from mlsession.loggers.held import HeldFigures
from mlsession.loggers.run import LoggedRun


def go_on(logger: WandbLogger, run: LoggedRun) -> HeldFigures | None:
    """Lets a logger that names no run of its own log to that of the session; None where it may hold something already.

    What runs that are kept offline hold cannot be read back. Of an empty one this is known by its folder.
    """
    if logger._experiment is not None:
        return None
    if logger._id is None:
        logger._id = logger._wandb_init["id"] = run.id
    folder = Path(logger.save_dir or ".") / "wandb"
    if logger._wandb_init.get("mode") == "offline" and not any(folder.glob(f"*run-*-{logger._id}")):
        return HeldFigures({})
    return None
