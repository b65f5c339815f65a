"""Any Lightning training as a session: kill it at any moment, run the same line again, and the weights are the same.

    python examples/lightning_module.py SESSION_URL [--epochs N]
    torchrun --nproc-per-node 2 examples/lightning_module.py SESSION_URL [--epochs N]

The last line is a digest of the trained weights.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys

import torch
from pytorch_lightning import LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import Dataset

from mlsession.errors import JobStopped
from mlsession.integrations.lightning import KeyedLoader, SessionCheckpoints
from mlsession.session.parameters import SessionParameters


class Spiral(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Two arms of a spiral, a little blurred: a point's place is random, and drawn anew in each epoch."""

    def __len__(self) -> int:
        return 1_000

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        arm, turn = index % 2, torch.tensor(index / len(self) * 9)
        point = torch.stack([turn.cos(), turn.sin()]) * turn * (1 - 2 * arm) / 9
        return point + 0.02 * torch.randn(2), torch.tensor(arm)


class Network(LightningModule):
    """A small network with dropout, batch norm, and a learning rate that falls with the epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 2))

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        points, arms = batch
        loss = nn.functional.cross_entropy(self.layers(points), arms)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[torch.optim.lr_scheduler.LRScheduler]]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("session", help="a folder, or any fsspec URL")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=0, help="processes that read the data")
    arguments = parser.parse_args()
    seed_everything(0, verbose=False)
    torch.set_num_threads(1)
    rank, world_size = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    loader = KeyedLoader(Spiral(), batch_size=50, rank=rank, world_size=world_size, num_workers=arguments.workers)
    module = Network()
    checkpoints = SessionCheckpoints(
        SessionParameters(arguments.session, checkpoint_interval=7), parameters={"learning_rate": 1e-2}, signals=True
    )
    trainer = Trainer(
        max_epochs=arguments.epochs,
        accelerator="cpu",
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        callbacks=[checkpoints],
        plugins=[checkpoints.io],
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
    )
    try:
        trainer.fit(module, loader, ckpt_path=checkpoints.newest())
    except JobStopped as stopped:
        print(f"{stopped}; the same line goes on", file=sys.stderr)
        sys.exit(75)
    if not trainer.is_global_zero:
        return
    digest = hashlib.sha256(b"".join(value.numpy().tobytes() for value in module.state_dict().values()))
    print(f"step {trainer.global_step}: {digest.hexdigest()}")


if __name__ == "__main__":
    main()
