"""`mlsession` in a process where torch has memory for so many images of fine-tuning at a time, and no more.

    CRAMPED="MOST WHERE" python tests/recovery/cramped.py WORDS

What has more asks for memory that no machine has: as it goes through the network ("forward") or back ("backward"), or
through it to be looked at only ("check"). Each time some layers are done by then, and others are not. After a "rebuild"
of the last kind there is no memory for another network either. "killed" is one that the system kills for want of it, as
the network is made, and "joined" as soon as all have come.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_parameter_registration_hook

from mlsession.devices.joining import joined
from mlsession.devices.placement import placement_here

NEVER = 10**17
"""Bytes."""


def plant(most: int, where: str) -> None:
    """Has torch's own allocator fail."""
    spent: list[bool] = []

    def build(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> None:
        if where == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if spent:
            torch.empty(NEVER, dtype=torch.uint8)

    def look(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        if not isinstance(module, torch.nn.Conv2d | torch.nn.Linear) or len(output) <= most:
            return
        if where == "backward" and output.requires_grad:
            output.register_hook(lambda gradient: torch.empty(NEVER, dtype=torch.uint8))
        is_step = torch.is_grad_enabled() and output.requires_grad  # Of the part that is tuned.
        is_check = where in ("check", "rebuild") and not torch.is_grad_enabled()
        if (where == "forward" and is_step) or is_check:
            spent.extend([True] * (where == "rebuild"))
            torch.empty(NEVER, dtype=torch.uint8)

    register_module_forward_hook(look)
    register_module_parameter_registration_hook(build)


if __name__ == "__main__":
    from mlsession.cli.__main__ import main

    limit, kind = os.environ["CRAMPED"].split()
    if kind == "joined":
        with joined(placement_here()):
            os.kill(os.getpid(), signal.SIGKILL)
    plant(int(limit), kind)
    sys.argv[0] = "mlsession"
    main()
