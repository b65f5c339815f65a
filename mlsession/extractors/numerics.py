"""What can change the last bits of a result: chosen by rule, set for a while, put back."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

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


@contextmanager
def gpu_numerics() -> Iterator[None]:
    """What is started on a GPU in the block multiplies float32 as such (no TF32), by the same kernels each time.

    cuDNN then chooses its kernels by rule instead of by timing, among those that give the same bits again. The switches
    belong to the process and are read where work is started, so they are set around that and put back.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def training_numerics(threads: int) -> dict[str, str | int]:
    """The part of a numerics id that holds for what torch and numpy compute of heads on this CPU; loads no torch."""
    kernels = os.environ.get("ATEN_CPU_CAPABILITY")
    return {
        "backend": f"torch {importlib.metadata.version('torch')} cpu",
        "arrays": numpy_identity(),
        "instructions": this_processor().name if kernels is None else f"{this_processor().name} ({kernels})",
        "precision": "float32",
        "threads": threads,
    }


def numpy_identity() -> str:
    """numpy with its version, and what multiplies its matrices: of heads it gives what is said of held-out images."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"numpy {np.__version__} {blas.get('name', 'none')} {blas.get('version', '')}".rstrip()
