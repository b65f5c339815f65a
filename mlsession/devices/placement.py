"""Which rank a process has, as its launcher says in the environment.

| launcher | says it by |
|-|-|
| torchrun, and what uses it (`srun torchrun`, PyTorchJob with an elastic policy) | TORCHELASTIC_RUN_ID, RANK, ... |
| PyTorchJob without one, or by hand | RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT |
| srun, one task for each device | SLURM_PROCID, SLURM_NTASKS, ...: read by Lightning Fabric's environment |

Without any of them a process is a world of its own. The variables of the first two are read here, as Fabric's
`TorchElasticEnvironment` and `KubeflowEnvironment` do: to import those takes a process longer than torch (5 s).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mlsession.errors import InvalidParameter

VISIBLE = "CUDA_VISIBLE_DEVICES"
_RANKS = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
ELASTIC = "TORCHELASTIC_RUN_ID"
"""What launchers give their workers that start all of them again when one fails."""
_SLURM = "SLURM_PROCID"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The place of a process among those that its launcher started."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among those of this machine."""
    local_size: int = 1
    address: str = ""
    """Of rank 0's machine."""
    port: int = 0
    restarts: int = 0
    """How often the launcher has started all of them again."""
    is_elastic: bool = False
    """Whether the launcher starts all of them again when one fails."""

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.size and self.local_rank >= 0 and self.local_size >= 1):
            raise ValueError(f"rank {self.rank} of {self.size}, {self.local_rank} of {self.local_size} on its machine")


def placement_here(environment: Mapping[str, str] | None = None) -> Placement:
    """This process's. Raises `InvalidParameter` where what the launcher says makes no sense."""
    found = os.environ if environment is None else environment
    try:
        if ELASTIC in found or all(name in found for name in _RANKS):
            return _by_ranks(found)
        # A batch script of SLURM has some of its variables, too; only `srun` has started us as one of several.
        if _SLURM in found and "SLURM_STEP_ID" in found and int(found.get("SLURM_NTASKS", "1")) > 1:
            return _by_slurm(found)
    except (ValueError, KeyError, RuntimeError) as error:
        told = {name: found[name] for name in (*_RANKS, _SLURM, "SLURM_NTASKS") if name in found}
        reason = f"does not say which rank this is ({error}); start the workers with torchrun, or srun"
        raise InvalidParameter("the launcher's environment", told, reason) from error
    return Placement()


def visible_device(visible: str | None, local_rank: int) -> str:
    """The one GPU that a rank is to see, in the words of CUDA_VISIBLE_DEVICES, of those that its machine may use; pure.

    A launcher that gives each task its own GPU (`srun --gpus-per-task`) shows it one already.
    """
    if visible is None:
        return str(local_rank)
    shown = [name.strip() for name in visible.split(",") if name.strip()]
    if len(shown) < 2:
        return visible
    return shown[local_rank % len(shown)]


def _by_ranks(found: Mapping[str, str]) -> Placement:
    return Placement(
        rank=int(found["RANK"]),
        size=int(found["WORLD_SIZE"]),
        local_rank=int(found.get("LOCAL_RANK", "0")),
        local_size=int(found.get("LOCAL_WORLD_SIZE", "1")),
        address=found["MASTER_ADDR"],
        port=int(found["MASTER_PORT"]),
        restarts=int(found.get("TORCHELASTIC_RESTART_COUNT", "0")),
        is_elastic=ELASTIC in found,
    )


def _by_slurm(found: Mapping[str, str]) -> Placement:
    """Fabric knows how SLURM writes lists of machines, and takes a port that the job's number gives."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    cluster = SLURMEnvironment(auto_requeue=False)
    # As in "2(x3),1", the tasks on each machine.
    digits = found.get("SLURM_NTASKS_PER_NODE", "").partition("(")[0].partition(",")[0]
    return Placement(
        rank=cluster.global_rank(),
        size=cluster.world_size(),
        local_rank=cluster.local_rank(),
        local_size=int(digits or "1"),
        address=cluster.main_address,
        port=cluster.main_port,
    )
