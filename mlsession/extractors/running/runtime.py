"""What runs a network, and in which precision: chosen by rule when a session is made, recorded, and kept for its life.

| backend | where | networks |
|-|-|-|
| `openvino` | x86 processors, with `pip install 'mlsession[fast]'` | those of mlsession |
| `torch` | everywhere; on GPUs (see `devices.accelerators`) | all but ONNX files |
| `onnxruntime` | everywhere, with `pip install 'mlsession[onnx]'` | ONNX files of one's own, see `custom` |

`bfloat16` is taken for mlsession's own networks where the processor multiplies it faster (AMX, AVX-512 BF16): its
features have a cosine to those of float32 of 0.9994 on average and 0.9991 at the 5th percentile (78 photos of fruit,
either backend), less than what moving the crop by a pixel does. On a GPU that has it, it is taken for every network:
float32 without shortcuts is some ten times slower there. Everything else is float32.

Lightning's words for the precision mean the same: `32-true` is float32, `bf16-true` bfloat16. `bf16-mixed` and
`16-mixed` say how a network is fine-tuned; its features are then extracted as with `auto`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from mlsession.devices.accelerators import AcceleratorChoice, Device, Gpu, check_accelerator, gpu_here
from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.processor import Processor, this_processor

Backend: TypeAlias = Literal["openvino", "torch", "onnxruntime"]
Precision: TypeAlias = Literal["float32", "bfloat16"]
BackendChoice: TypeAlias = Literal["auto", "openvino", "torch"]
PrecisionChoice: TypeAlias = Literal["auto", "float32", "bfloat16", "32-true", "bf16-true", "bf16-mixed", "16-mixed"]
BACKENDS: tuple[BackendChoice, ...] = get_args(BackendChoice)
Decoder: TypeAlias = Literal["pillow", "nvjpeg"]
DecoderChoice: TypeAlias = Literal["auto", "pillow", "nvjpeg"]
DECODERS: tuple[DecoderChoice, ...] = get_args(DecoderChoice)
PRECISIONS: tuple[PrecisionChoice, ...] = get_args(PrecisionChoice)
MIXED: tuple[PrecisionChoice, ...] = ("bf16-mixed", "16-mixed")
"""Of fine-tuning alone: weights in float32, arithmetic in less."""
_SAME: Mapping[PrecisionChoice, PrecisionChoice] = MappingProxyType({"32-true": "float32", "bf16-true": "bfloat16"})

BATCH_SIZE = 4
"""Pictures in one pass through a network, always: a short batch is filled up with black ones.

Measured with EfficientNet-Lite0 on one core with 2 MiB of cache: OpenVINO takes 4.0 ms a picture with it, 4.8 with 1
and 5.3 with 8; torch as long as with 8, in half of its memory.
"""

GPU_BATCH_SIZE = 64
"""The same on a GPU, unless its memory is too small for it with some network: then half of it, and so on.

Chosen by what must be done for a batch (some 90 launches for EfficientNet-Lite0, about 5 ms of one processor) against
what the processors of a machine with a GPU decode (16 of them some 4,000 pictures a second); not measured on one yet.
"""

_INSTALL = "pip install 'mlsession[fast]'"
_ELSEWHERE = "go on where there is a processor like that, or train in a new session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How a network is run."""

    backend: Backend
    precision: Precision
    gpu: Gpu | None = None
    """None: the CPU."""
    batch_size: int = BATCH_SIZE
    """Pictures in one pass, always."""
    decoder: Decoder = "pillow"
    """What decodes JPEGs: `nvjpeg` the plain ones on a GPU, see `decoding`; Pillow all others in any case."""

    def __post_init__(self) -> None:
        if self.gpu is not None and self.backend != "torch":
            raise InvalidParameter("backend", self.backend, "runs on the CPU only; GPUs are used by torch")
        if self.gpu is None and self.batch_size != BATCH_SIZE:
            raise InvalidParameter("batch_size", self.batch_size, f"is {BATCH_SIZE} on the CPU")
        if self.decoder == "nvjpeg" and self.device != "cuda":
            raise InvalidParameter("decoder", self.decoder, f"decodes for networks on CUDA, not on {self.device}")

    @property
    def device(self) -> Device:
        """As torch calls the kind of it."""
        return "cpu" if self.gpu is None else self.gpu.device

    def numerics(self) -> dict[str, str | int]:
        """Its part of a numerics id, with the version that is installed here."""
        backend = {"backend": f"{self.backend} {_version(self.backend)} {self.device}", "precision": self.precision}
        if self.gpu is None:
            return {**backend, "instructions": this_processor().name}
        return {**backend, "gpu": self.gpu.name, "libraries": self.gpu.libraries, "tf32": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the choice depends on."""

    processor: Processor
    has_openvino: bool
    gpu: Gpu | None = None
    """The one to use, if any."""

    @classmethod
    def here(cls, accelerator: AcceleratorChoice = "cpu") -> Surroundings:
        """This machine, with the GPU that `accelerator` means."""
        found = importlib.util.find_spec("openvino") is not None
        return cls(processor=this_processor(), has_openvino=found, gpu=gpu_here(accelerator))


def chosen_runtime(
    backend: BackendChoice,
    precision: PrecisionChoice,
    surroundings: Surroundings,
    *,
    is_own_network: bool,
    accelerator: AcceleratorChoice = "auto",
) -> Runtime:
    """What a new session runs its network with; `is_own_network` is True for those that mlsession defines.

    `surroundings` are those that `accelerator` means. Raises `InvalidParameter` for a choice that cannot be had here.
    """
    check_choices(backend, precision, accelerator)
    precision = extraction_precision(precision)
    if surroundings.gpu is not None and accelerator != "cpu" and (accelerator != "auto" or backend != "openvino"):
        return _on_gpu(backend, precision, surroundings.gpu)
    if accelerator not in ("auto", "cpu"):
        reason = f"torch {_version('torch')} finds none on this machine; leave it out to use what there is"
        raise InvalidParameter("accelerator", accelerator, reason)
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


def _on_gpu(backend: BackendChoice, precision: PrecisionChoice, gpu: Gpu) -> Runtime:
    if backend == "openvino":
        raise InvalidParameter("backend", backend, "runs on the CPU only; leave it out, or the accelerator")
    if precision == "bfloat16" and not gpu.has_bfloat16:
        raise InvalidParameter("precision", precision, f"{gpu.name} has no instructions for it; leave it out")
    kind: Precision = "float32" if precision == "float32" or not gpu.has_bfloat16 else "bfloat16"
    return Runtime(backend="torch", precision=kind, gpu=gpu, batch_size=GPU_BATCH_SIZE)


def recorded_device(numerics: Mapping[str, object]) -> Device:
    """Where a session has recorded that its network runs."""
    last = str(numerics.get("backend", "")).rpartition(" ")[2]
    return "cuda" if last == "cuda" else "mps" if last == "mps" else "cpu"


def recorded_decoder(numerics: Mapping[str, object]) -> Decoder:
    """What decodes plain JPEGs, as a session has recorded it."""
    is_other = recorded_device(numerics) == "cuda" and str(numerics.get("decoder", "")).startswith("nvjpeg ")
    return "nvjpeg" if is_other else "pillow"


def recorded_runtime(numerics: Mapping[str, object], surroundings: Surroundings) -> Runtime:
    """The runtime that a session has recorded; `surroundings` are those of its `recorded_device`.

    Raises `IncompatibleParameters` if it cannot be had here.
    """
    backend, precision = str(numerics.get("backend", "")).partition(" ")[0], numerics.get("precision")
    device, gpu = recorded_device(numerics), surroundings.gpu
    if device != "cpu":
        if gpu is None or gpu.device != device:
            cure = "go on where there is one that torch can use, or train in a new session"
            raise IncompatibleParameters("accelerator", device, "not on this machine", cure)
        if precision == "bfloat16" and not gpu.has_bfloat16:
            raise IncompatibleParameters("precision", precision, f"not in {gpu.name}", _ELSEWHERE)
        size = numerics.get("batch_size")
        return Runtime(
            backend="torch",
            precision="bfloat16" if precision == "bfloat16" else "float32",
            gpu=gpu,
            batch_size=size if isinstance(size, int) else GPU_BATCH_SIZE,
            decoder=recorded_decoder(numerics),
        )
    if backend == "openvino" and not surroundings.has_openvino:
        raise IncompatibleParameters("backend", backend, "not installed", f"run: {_INSTALL}")
    if backend == "onnxruntime":
        if importlib.util.find_spec("onnxruntime") is None:
            raise IncompatibleParameters("backend", backend, "not installed", "run: pip install 'mlsession[onnx]'")
        return Runtime(backend="onnxruntime", precision="float32")
    if precision == "bfloat16" and not surroundings.processor.has_bfloat16:
        raise IncompatibleParameters("precision", precision, f"not in {surroundings.processor.name}", _ELSEWHERE)
    return Runtime(
        backend="openvino" if backend == "openvino" else "torch",
        precision="bfloat16" if precision == "bfloat16" else "float32",
    )


def check_choices(backend: object, precision: object, accelerator: object = "auto", decoder: object = "auto") -> None:
    """Raises `InvalidParameter` for what is no choice anywhere."""
    if backend not in BACKENDS:
        raise InvalidParameter("backend", backend, f"must be one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise InvalidParameter("precision", precision, f"must be one of {', '.join(PRECISIONS)}")
    if decoder not in DECODERS:
        raise InvalidParameter("decoder", decoder, f"must be one of {', '.join(DECODERS)}")
    check_accelerator(accelerator)


def plain_precision(precision: PrecisionChoice) -> PrecisionChoice:
    """The same in our words where we have one: `32-true` is float32."""
    return _SAME.get(precision, precision)


def extraction_precision(precision: PrecisionChoice) -> PrecisionChoice:
    """What of it concerns extracting: "auto", "float32" or "bfloat16"."""
    return "auto" if precision in MIXED else plain_precision(precision)


def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution)
