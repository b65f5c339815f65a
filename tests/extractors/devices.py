"""A GPU for tests: all of the way to one, with the CPU at its end."""

from __future__ import annotations

from mlsession.devices.accelerators import Device, Gpu
from mlsession.extractors.running.runtime import Runtime, Surroundings
from mlsession.processor import this_processor

GPU = Gpu(device="cuda", name="Pretended (9.0)", libraries="cuda 0 cudnn 0", has_bfloat16=True, place="cpu")


def on_gpu(batch_size: int = 8, *, bfloat16: bool = False) -> Runtime:
    return Runtime(backend="torch", precision="bfloat16" if bfloat16 else "float32", gpu=GPU, batch_size=batch_size)


def with_gpu(device: Device) -> Surroundings:
    """This machine, as one with a GPU would have it."""
    return Surroundings(processor=this_processor(), has_openvino=True, gpu=None if device == "cpu" else GPU)
