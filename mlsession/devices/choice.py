"""How many processes train a session together, and how, in Lightning's words; checked without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from mlsession.errors import InvalidParameter

DevicesChoice: TypeAlias = int | Literal["auto"]
StrategyChoice: TypeAlias = Literal["auto", "ddp"]

_STRATEGIES = ("auto", "ddp")
_SHARDED = ("fsdp", "fsdp2", "deepspeed", "modelparallel")
_SPAWNED = ("ddp_spawn", "ddp_fork", "ddp_notebook")


def check_devices(devices: object, num_nodes: object, strategy: object) -> None:
    """Raises `InvalidParameter` for what is no choice anywhere."""
    if devices != "auto" and not _is_count(devices):
        raise InvalidParameter("devices", devices, "must be a whole number of 1 or more, or 'auto' for all GPUs")
    if not _is_count(num_nodes):
        raise InvalidParameter("num_nodes", num_nodes, "must be a whole number of 1 or more")
    if strategy not in _STRATEGIES:
        raise InvalidParameter("strategy", strategy, _why_not(str(strategy)))


def devices_of(text: str) -> DevicesChoice:
    """What a command line says: a number or "auto". Raises `InvalidParameter`."""
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise InvalidParameter("devices", text, "must be a whole number of 1 or more, or auto for all GPUs") from None


def device_count(devices: DevicesChoice, num_gpus: Callable[[], int]) -> int:
    """The processes to start on one machine, at least 1; `num_gpus` is asked for "auto" alone, 0 where the CPU works.

    A CPU is one device whatever its cores: one process uses all of them.
    """
    return max(num_gpus(), 1) if devices == "auto" else devices


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _why_not(strategy: str) -> str:
    name = strategy.partition("_")[0]
    if strategy in _SPAWNED:
        return "is not here: processes are started anew, by torchrun's launcher; use 'ddp' or leave it out"
    if name in _SHARDED:
        return (
            "is not here: every network that mlsession has fits whole on one device, and sharded weights would give "
            "other bits with each number of devices; use 'ddp' or leave it out"
        )
    return "must be 'auto' or 'ddp' (each device has the whole network, and its share of each batch)"
