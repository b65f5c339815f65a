"""Devices without memory say so in many ways."""

from __future__ import annotations

import pytest
import torch

from mlsession.devices.memory import is_out_of_memory


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.18 GiB",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "MPS backend out of memory (MPS allocated: 17.50 GB, other allocations: 512.00 KB, max allowed: 18.13 GB)",
        "HIP out of memory. Tried to allocate 20.00 MiB",
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.",
    ],
)
def test_it_is_known_by_its_text(text: str) -> None:
    assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(ValueError(text))


def test_it_is_known_by_its_class() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("whatever a release to come may say"))


def test_this_machine_s_own_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**17, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (8x1280 and 1000x3)"),
        MemoryError("out of memory"),
    ],
)
def test_other_failures_are_no_such_thing(error: Exception) -> None:
    assert not is_out_of_memory(error)
