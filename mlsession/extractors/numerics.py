"""What can change the last bits of a result on a CPU: chosen by rule, set for a while, put back."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mlsession.errors import InvalidParameter
from mlsession.processor import this_processor

THREADS = 1
"""torch's intra-op threads of training on features; recorded, since another count may change bits.

More of them share each operation, and wait for each other after each by spinning: on a processor that others use, too,
training then took a hundred times as long. `heads.blocks.worked_blocks` uses the other processors."""


@contextmanager
def torch_numerics(threads: int) -> Iterator[None]:
    """Run the block with `threads` intra-op threads in the calling thread, then put back what was set.

    torch's count belongs partly to the process and partly to the calling thread, so a job enters this once, in its own
    thread, around its whole life; entering it again with the same count inside costs nothing.
    Raises `InvalidParameter`.
    """
    import torch

    if threads < 1:
        raise InvalidParameter("threads", threads, "must be at least 1")
    before = torch.get_num_threads()
    if before == threads:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_numerics(threads: int) -> dict[str, str | int]:
    """The part of a numerics id that holds for any float32 computation of torch on this CPU; torch is not loaded."""
    kernels = os.environ.get("ATEN_CPU_CAPABILITY")
    return {
        "backend": f"torch {importlib.metadata.version('torch')} cpu",
        "instructions": this_processor().name if kernels is None else f"{this_processor().name} ({kernels})",
        "precision": "float32",
        "threads": threads,
    }
