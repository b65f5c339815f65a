"""Telling that a device has no memory left from all else that goes wrong on it."""

from __future__ import annotations

_TEXTS = (
    "out of memory",  # "CUDA out of memory", "CUDA error: out of memory", "MPS backend out of memory", "HIP ...".
    "_STATUS_ALLOC_FAILED",  # cuBLAS, cuDNN, cuSOLVER and cuSPARSE.
    "CUBLAS_STATUS_NOT_INITIALIZED",  # What `cublasCreate` says where its workspace finds no room.
    "DefaultCPUAllocator: can't allocate memory",  # Of Linux and macOS.
    "DefaultCPUAllocator: not enough memory",  # Of Windows.
)
"""Of errors that have no class of their own; see c10/core/impl/alloc_cpu.cpp, aten/src/ATen/cuda/Exceptions.cpp and
aten/src/ATen/mps/MPSAllocator.mm of PyTorch."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, or a library that it calls, could not get the memory for what it was asked to compute; pure."""
    if any(each.__name__ == "OutOfMemoryError" for each in type(error).__mro__):  # torch's own; it is not loaded here.
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
