"""The accelerators of a machine, in Lightning's words; torch is asked only where one may be or is asked for by name.

| choice | takes |
|-|-|
| `auto` | an NVIDIA or AMD GPU where torch can use one, else the CPU |
| `cpu` | the CPU |
| `gpu` | what `cuda` takes, else what `mps` takes |
| `cuda` | an NVIDIA GPU (or, with torch's builds for ROCm, one of AMD) |
| `mps` | the GPU of an Apple chip |

Unlike Lightning's, `auto` leaves an Apple GPU alone: what mlsession does there has not been measured yet.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from mlsession.errors import InvalidParameter

AcceleratorChoice: TypeAlias = Literal["auto", "cpu", "gpu", "cuda", "mps"]
Device: TypeAlias = Literal["cpu", "cuda", "mps"]
"""As torch calls the kinds of them."""
ACCELERATORS: tuple[AcceleratorChoice, ...] = get_args(AcceleratorChoice)

DRIVERS = (
    "/dev/nvidiactl",
    "/proc/driver/nvidia/version",
    "/dev/nvgpu",  # The embedded boards of NVIDIA.
    "/dev/nvhost-gpu",
    "/dev/dxg",  # Windows' subsystem for Linux.
    "/dev/kfd",  # AMD's compute driver.
    "C:/Windows/System32/nvcuda.dll",
)
"""What a driver puts where; a container has them where it was given the GPU."""

_MEANT: Mapping[AcceleratorChoice, tuple[Literal["cuda", "mps"], ...]] = MappingProxyType(
    {"auto": ("cuda",), "cpu": (), "gpu": ("cuda", "mps"), "cuda": ("cuda",), "mps": ("mps",)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU that torch can use."""

    device: Literal["cuda", "mps"]
    name: str
    """Its model, with the compute capability of one of NVIDIA: "NVIDIA H100 80GB HBM3 (9.0)"."""
    libraries: str
    """What torch runs it with: "cuda 12.8 cudnn 91002"."""
    has_bfloat16: bool
    """Whether it multiplies bfloat16 faster than float32."""
    place: str
    """Where torch finds it: "cuda:0"."""

    def at(self, index: int) -> Gpu:
        """Another one of the same machine, which is taken to be of the same model; the same where there is but one."""
        return replace(self, place=f"{self.device}:{index}") if ":" in self.place else self


def check_accelerator(accelerator: object) -> None:
    """Raises `InvalidParameter` for what is no choice anywhere."""
    if accelerator not in ACCELERATORS:
        raise InvalidParameter("accelerator", accelerator, f"must be one of {', '.join(ACCELERATORS)}")


def _is_there(path: str) -> bool:
    return Path(path).exists()


def gpu_here(accelerator: AcceleratorChoice, exists: Callable[[str], bool] = _is_there) -> Gpu | None:
    """The first GPU of this machine that `accelerator` means; None: the CPU.

    `exists` tells whether a file is there. torch and Lightning are loaded unless there can be none.
    """
    if not _MEANT[accelerator] or (accelerator == "auto" and not any(map(exists, DRIVERS))):
        return None
    from lightning_fabric.accelerators import CUDAAccelerator, MPSAccelerator  # type: ignore[attr-defined]

    for device in _MEANT[accelerator]:
        if device == "cuda" and CUDAAccelerator.is_available():
            return _cuda()
        if device == "mps" and MPSAccelerator.is_available():
            return _apple()
    return None


def num_gpus(device: Literal["cuda", "mps"]) -> int:
    """How many of them torch can use on this machine. Loads torch."""
    import torch

    if device == "mps":
        return int(torch.backends.mps.is_available())
    return torch.cuda.device_count()


def _cuda() -> Gpu:
    import torch

    facts = torch.cuda.get_device_properties(0)
    hip = torch.version.hip
    version = f"cuda {torch.version.cuda}" if hip is None else f"rocm {hip}"
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return Gpu(
        device="cuda",
        name=facts.name if hip is not None else f"{facts.name} ({facts.major}.{facts.minor})",
        libraries=f"{version} cudnn {cudnn}",
        has_bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
        place="cuda:0",
    )


def _apple() -> Gpu:
    """bfloat16 there is as fast as float32 at best."""
    version = platform.mac_ver()[0]
    return Gpu(
        device="mps", name=f"Apple {platform.machine()}", libraries=f"macos {version}", has_bfloat16=False, place="mps"
    )
