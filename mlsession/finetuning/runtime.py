"""What a network is tuned with: chosen by rule when a session is made, recorded, and used again.

| precision | weights, their updates | arithmetic of the network |
|-|-|-|
| `32-true` | float32 | float32 |
| `bf16-mixed` | float32 | bfloat16 where torch's autocast takes it, which keeps normalisations and losses in float32 |
| `16-mixed` | float32 | float16 likewise, with a scaled loss; on GPUs only |

The words are Lightning's. Pure; torch is not loaded.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from mlsession.devices.accelerators import Device, Gpu
from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.extractors.numerics import THREADS
from mlsession.extractors.running.runtime import PrecisionChoice, Surroundings

TuningPrecision: TypeAlias = Literal["32-true", "bf16-mixed", "16-mixed"]
TUNING_PRECISIONS: tuple[TuningPrecision, ...] = get_args(TuningPrecision)
_LOWER = ("bfloat16", "bf16-true", "bf16-mixed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningRuntime:
    """Where, and how exactly. torch has `THREADS` threads for an operation: see `tuner` for what uses the others."""

    precision: TuningPrecision
    gpu: Gpu | None = None
    """None: the CPU."""

    @property
    def device(self) -> Device:
        """As torch calls the kind of it."""
        return "cpu" if self.gpu is None else self.gpu.device

    def numerics(self, surroundings: Surroundings) -> dict[str, str | int]:
        """Its part of a numerics id, with the version that is installed here."""
        version = importlib.metadata.version("torch")
        found: dict[str, str | int] = {
            "backend": f"torch {version} {self.device}",
            "precision": self.precision,
            "threads": THREADS,
        }
        if self.gpu is None:
            return {**found, "instructions": surroundings.processor.name}
        return {**found, "gpu": self.gpu.name, "libraries": self.gpu.libraries, "tf32": "off"}


def chosen_tuning(precision: PrecisionChoice, surroundings: Surroundings) -> TuningRuntime:
    """What a new session tunes with; `surroundings` are those that its accelerator means. Raises `InvalidParameter`."""
    gpu, processor = surroundings.gpu, surroundings.processor
    has_bfloat16 = processor.has_bfloat16 if gpu is None else gpu.has_bfloat16
    if precision == "16-mixed" and gpu is None:
        raise InvalidParameter("precision", precision, "is for GPUs; leave it out, or take '32-true'")
    if precision in _LOWER and not has_bfloat16:
        where = processor.name if gpu is None else gpu.name
        raise InvalidParameter("precision", precision, f"{where} has no instructions for it; leave it out")
    chosen: TuningPrecision = "16-mixed" if precision == "16-mixed" else "32-true"
    # A CPU takes longer to train in bfloat16, whatever its instructions: gradients of depthwise convolutions are slow.
    is_asked = precision in _LOWER or (precision == "auto" and gpu is not None)
    if chosen != "16-mixed" and is_asked and has_bfloat16:
        chosen = "bf16-mixed"
    return TuningRuntime(precision=chosen, gpu=gpu)


def tuning_of(numerics: Mapping[str, object], surroundings: Surroundings) -> TuningRuntime:
    """What a session has recorded; `surroundings` are those of its `recorded_device`.

    Raises `IncompatibleParameters` if it cannot be had here, `ValueError` for what was never written.
    """
    precision = numerics.get("precision")
    if precision not in TUNING_PRECISIONS:
        raise ValueError("it does not say what a network is tuned with")
    device = str(numerics.get("backend", "")).rpartition(" ")[2]
    gpu = surroundings.gpu
    if device != ("cpu" if gpu is None else gpu.device):
        cure = "go on where there is one that torch can use, or train in a new session"
        raise IncompatibleParameters("accelerator", device, "not on this machine", cure)
    chosen: TuningPrecision = next(each for each in TUNING_PRECISIONS if each == precision)
    return TuningRuntime(precision=chosen, gpu=gpu)
