"""What `SessionCheckpoints` refuses, a line of standard output each; run by test_lightning.py."""

from __future__ import annotations

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.strategies import SingleDeviceStrategy

from mlsession.errors import MLSessionError
from mlsession.integrations.lightning import KeyedLoader, SessionCheckpoints
from mlsession.session.parameters import SessionParameters
from mlsession.training.classifier import Classifier


class Numbers:
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1,), float(index))


class Odd:
    """Nothing that can be stored without code."""


class Module(LightningModule):
    def __init__(self, fails_at: int | None = None, odd: bool = False) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self._fails_at = fails_at
        self._odd = odd

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if self.global_step == self._fails_at:
            raise ValueError("a step that fails")
        loss: torch.Tensor = self.layer(batch).square().mean()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def on_save_checkpoint(self, checkpoint: dict[str, object]) -> None:
        if self._odd:
            checkpoint["odd"] = Odd()


class Sharding(SingleDeviceStrategy):
    """Writes files of its own, as strategies do that shard weights."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        pass


def fit(
    checkpoints: SessionCheckpoints, module: Module, resume: bool = True, plugin: bool = True, shards: bool = False
) -> None:
    trainer = Trainer(
        strategy=Sharding("cpu") if shards else "auto",
        max_epochs=2,
        accelerator="cpu",
        callbacks=[checkpoints],
        plugins=[checkpoints.io] if plugin else [],
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        default_root_dir=sys.argv[1],
    )
    trainer.fit(module, KeyedLoader(Numbers(), 2), ckpt_path=checkpoints.newest() if resume else None)


def refusal(checkpoints: SessionCheckpoints, module: Module, **options: bool) -> str:
    try:
        fit(checkpoints, module, **options)
    except MLSessionError as error:
        return str(error)
    raise AssertionError("it was not refused")


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    url = sys.argv[1]
    session = SessionParameters(url, checkpoint_interval=1)

    def checkpoints(rate: int = 1) -> SessionCheckpoints:
        return SessionCheckpoints(session, parameters={"rate": rate})

    try:
        fit(checkpoints(), Module(fails_at=3))
    except ValueError as error:
        failure = error
    say(refusal(checkpoints(), Module(), resume=False))
    say(refusal(checkpoints(rate=2), Module()))
    say(refusal(checkpoints(), Module(), plugin=False))
    say(refusal(checkpoints(), Module(odd=True)))
    say(refusal(checkpoints(), Module(), shards=True))
    say(f"failed: {type(failure).__name__}: {failure}")
    fit(checkpoints(), Module())
    with Classifier.restore_training_session(session) as stored:
        say(stored.status)


if __name__ == "__main__":
    main()
