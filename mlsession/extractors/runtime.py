"""What runs a network, and in which precision: chosen by rule when a session is made, recorded, and kept for its life.

| backend | where | networks |
|-|-|-|
| `openvino` | x86 processors, with `pip install 'mlsession[fast]'` | those of mlsession |
| `torch` | everywhere | all |

`bfloat16` is taken for mlsession's own networks where the processor multiplies it faster (AMX, AVX-512 BF16): its
features have a cosine to those of float32 of 0.9994 on average and 0.9991 at the 5th percentile (78 photos of fruit,
either backend), less than what moving the crop by a pixel does. Everything else is float32.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.processor import Processor, this_processor

Backend: TypeAlias = Literal["openvino", "torch"]
Precision: TypeAlias = Literal["float32", "bfloat16"]
BackendChoice: TypeAlias = Literal["auto", "openvino", "torch"]
PrecisionChoice: TypeAlias = Literal["auto", "float32", "bfloat16"]
BACKENDS: tuple[BackendChoice, ...] = get_args(BackendChoice)
PRECISIONS: tuple[PrecisionChoice, ...] = get_args(PrecisionChoice)

BATCH_SIZE = 4
"""Pictures in one pass through a network, always: a short batch is filled up with black ones.

Measured with EfficientNet-Lite0 on one core with 2 MiB of cache: OpenVINO takes 4.0 ms a picture with it, 4.8 with 1
and 5.3 with 8; torch as long as with 8, in half of its memory.
"""

_INSTALL = "pip install 'mlsession[fast]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How a network is run."""

    backend: Backend
    precision: Precision

    def numerics(self) -> dict[str, str | int]:
        """Its part of a numerics id, with the version that is installed here."""
        return {
            "backend": f"{self.backend} {_version(self.backend)} cpu",
            "instructions": this_processor().name,
            "precision": self.precision,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the choice depends on."""

    processor: Processor
    has_openvino: bool

    @classmethod
    def here(cls) -> Surroundings:
        return cls(processor=this_processor(), has_openvino=importlib.util.find_spec("openvino") is not None)


def chosen_runtime(
    backend: BackendChoice, precision: PrecisionChoice, surroundings: Surroundings, *, is_own_network: bool
) -> Runtime:
    """What a new session runs its network with; `is_own_network` is True for those that mlsession defines.

    Raises `InvalidParameter` for a choice that cannot be had here.
    """
    check_choices(backend, precision)
    has_openvino = is_own_network and surroundings.has_openvino and surroundings.processor.is_x86
    if backend == "openvino" and not is_own_network:
        raise InvalidParameter("backend", backend, "only runs scene_print and lite1; leave it out for other networks")
    if backend == "openvino" and not has_openvino:
        cure = _INSTALL if surroundings.processor.is_x86 else "leave it out; it is for x86 processors"
        raise InvalidParameter("backend", backend, f"is not here: {cure}")
    if precision == "bfloat16" and not surroundings.processor.has_bfloat16:
        reason = f"this processor ({surroundings.processor.name}) has no instructions for it; leave it out"
        raise InvalidParameter("precision", precision, reason)
    fast = is_own_network and surroundings.processor.has_bfloat16
    return Runtime(
        backend="openvino" if has_openvino and backend != "torch" else "torch",
        precision="bfloat16" if precision == "bfloat16" or (precision == "auto" and fast) else "float32",
    )


def recorded_runtime(numerics: Mapping[str, object], surroundings: Surroundings) -> Runtime:
    """The runtime that a session has recorded. Raises `IncompatibleParameters` if it cannot be had here."""
    backend, precision = str(numerics.get("backend", "")).partition(" ")[0], numerics.get("precision")
    if backend == "openvino" and not surroundings.has_openvino:
        raise IncompatibleParameters("backend", backend, "not installed", f"run: {_INSTALL}")
    if precision == "bfloat16" and not surroundings.processor.has_bfloat16:
        cure = "go on where there is a processor like that, or train in a new session"
        raise IncompatibleParameters("precision", precision, f"not in {surroundings.processor.name}", cure)
    return Runtime(
        backend="openvino" if backend == "openvino" else "torch",
        precision="bfloat16" if precision == "bfloat16" else "float32",
    )


def check_choices(backend: object, precision: object) -> None:
    """Raises `InvalidParameter` for what is no choice anywhere."""
    if backend not in BACKENDS:
        raise InvalidParameter("backend", backend, f"must be one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise InvalidParameter("precision", precision, f"must be one of {', '.join(PRECISIONS)}")


def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution)
