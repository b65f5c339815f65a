"""Two of torchrun's elastic launchers, each with one worker; all forked, as imports would take seconds in each.

    python tests/recovery/launcher.py PORT FOLDER

They meet at PORT of this machine, and launch a world of two ranks. Rank 1 is killed once, in the midst of it; the ranks
of the world that comes after that write into FOLDER what rank 0 has told them.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch.distributed.fsdp  # noqa: F401  # A launcher loads it when a worker fails.
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from mlsession.cli.outcome import RESUMABLE
from mlsession.devices.joining import joined
from mlsession.devices.placement import placement_here
from mlsession.errors import WorkerLost
from mlsession.job.parents import end_with_launcher

SECONDS = 120


def work(folder: str) -> None:
    """A worker, as the command `mlsession worker` joins the others and hears what rank 0 says."""
    end_with_launcher()
    placement, first = placement_here(), Path(folder, "first")
    try:
        with joined(placement) as crew:
            leader = crew.agree(os.getpid())
            if placement.rank == 1 and not first.exists():
                first.write_text(str(leader))
                os.kill(os.getpid(), signal.SIGKILL)
            crew.agree("all are here")
            Path(folder, str(placement.rank)).write_text(str(leader))
    except WorkerLost:
        os._exit(RESUMABLE)  # As it tells torchrun to start all of them again.


def launch(port: str, folder: str) -> None:
    """One launcher, until its worker has done its work."""
    config = LaunchConfig(
        min_nodes=2,
        max_nodes=2,
        nproc_per_node=1,
        run_id="test",
        rdzv_backend="c10d",
        rdzv_endpoint=f"127.0.0.1:{port}",
        rdzv_configs={"join_timeout": SECONDS, "last_call_timeout": 1},
        max_restarts=3,
        start_method="fork",
        local_addr="127.0.0.1",
    )
    elastic_launch(config, work)(folder)


def main(port: str, folder: str) -> None:
    launchers = []
    for _ in range(2):
        if not (pid := os.fork()):
            launch(port, folder)
            os._exit(0)
        launchers.append(pid)
    sys.exit(max(os.waitpid(pid, 0)[1] for pid in launchers) > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
