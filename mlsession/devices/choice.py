"""How many processes train a session together, and how, in Lightning's words; checked without torch."""

from __future__ import annotations

from typing import Literal, TypeAlias

from mlsession.errors import InvalidParameter

DevicesChoice: TypeAlias = int | Literal["auto"]
StrategyChoice: TypeAlias = Literal["auto", "ddp", "fsdp"]

_STRATEGIES = ("auto", "ddp", "fsdp")
_SHARDED = ("fsdp2", "deepspeed", "modelparallel")
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


def device_count(devices: DevicesChoice, gpus: int | None) -> int:
    """The processes to start on one machine, at least 1; `gpus`: how many there are, None where the CPU works; pure.

    A CPU is one device whatever its cores: one process uses all of them, and any number is taken. Raises
    `InvalidParameter` for several processes and fewer GPUs.
    """
    if devices == "auto":
        return max(gpus or 0, 1)
    if gpus is not None and devices > max(gpus, 1):
        found = {0: "no GPU", 1: "one GPU"}.get(gpus, f"{gpus} GPUs")
        cure = "ask for as many at most, or leave it to 'auto'"
        raise InvalidParameter("devices", devices, f"this machine has {found} that torch can use; {cure}")
    return devices


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _why_not(strategy: str) -> str:
    name = strategy.partition("_")[0]
    if strategy in _SPAWNED:
        return "is not here: processes are started anew, by torchrun's launcher; use 'ddp' or leave it out"
    if name in ("fsdp", *_SHARDED):
        return "is not here: what shares a network among the devices is called 'fsdp' (torch's FSDP2)"
    return (
        "must be 'auto' or 'ddp' (each device has the whole network, and its share of each batch), or 'fsdp' (each has "
        "a part of the network, too)"
    )
