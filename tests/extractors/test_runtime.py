"""The rules by which a network is run, and what they are told of the processor."""

from __future__ import annotations

import pytest

from mlsession.devices.accelerators import AcceleratorChoice, Gpu
from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.extractors.running.runtime import (
    BACKENDS,
    GPU_BATCH_SIZE,
    PRECISIONS,
    BackendChoice,
    PrecisionChoice,
    Runtime,
    Surroundings,
    chosen_runtime,
    plain_precision,
    recorded_device,
    recorded_runtime,
)
from mlsession.processor import Processor, told_sets, usable_processors, whole_processors

NEW = Processor(machine="x86_64", sets=("avx2", "avx512f", "avx512_bf16", "amx_bf16"))
OLD = Processor(machine="x86_64", sets=("avx2",))
ARM = Processor(machine="arm64")
GPU = Gpu(device="cuda", name="A (9.0)", libraries="cuda 12.8 cudnn 91002", has_bfloat16=True, place="cuda:0")
OLD_GPU = Gpu(device="cuda", name="B (7.5)", libraries="cuda 12.8 cudnn 91002", has_bfloat16=False, place="cuda:0")
APPLE = Gpu(device="mps", name="C", libraries="macos 15.1", has_bfloat16=False, place="mps")


def where(processor: Processor, has_openvino: bool = True, gpu: Gpu | None = None) -> Surroundings:
    return Surroundings(processor=processor, has_openvino=has_openvino, gpu=gpu)


@pytest.mark.parametrize(
    ("surroundings", "is_own", "backend", "precision", "expected"),
    [
        (where(NEW), True, "auto", "auto", ("openvino", "bfloat16")),
        (where(NEW), True, "auto", "float32", ("openvino", "float32")),
        (where(NEW), True, "torch", "auto", ("torch", "bfloat16")),
        (where(NEW, False), True, "auto", "auto", ("torch", "bfloat16")),
        (where(NEW), False, "auto", "auto", ("torch", "float32")),
        (where(NEW), False, "auto", "bfloat16", ("torch", "bfloat16")),
        (where(OLD), True, "auto", "auto", ("openvino", "float32")),
        (where(OLD, False), True, "auto", "auto", ("torch", "float32")),
        (where(ARM), True, "auto", "auto", ("torch", "float32")),
    ],
)
def test_the_rule(
    surroundings: Surroundings,
    is_own: bool,
    backend: BackendChoice,
    precision: PrecisionChoice,
    expected: tuple[str, str],
) -> None:
    found = chosen_runtime(backend, precision, surroundings, is_own_network=is_own)
    assert (found.backend, found.precision) == expected


@pytest.mark.parametrize(
    ("surroundings", "is_own", "backend", "precision", "message"),
    [
        (where(NEW, False), True, "openvino", "auto", r"backend='openvino'.*pip install 'mlsession\[fast\]'"),
        (where(NEW), False, "openvino", "auto", r"only runs scene_print and lite1"),
        (where(ARM), True, "openvino", "auto", r"x86"),
        (where(OLD), True, "auto", "bfloat16", r"precision='bfloat16'.*x86_64 avx2"),
    ],
)
def test_what_cannot_be_had_is_refused(
    surroundings: Surroundings, is_own: bool, backend: BackendChoice, precision: PrecisionChoice, message: str
) -> None:
    with pytest.raises(InvalidParameter, match=message):
        chosen_runtime(backend, precision, surroundings, is_own_network=is_own)


@pytest.mark.parametrize(
    ("gpu", "is_own", "accelerator", "backend", "precision", "expected"),
    [
        (GPU, True, "auto", "auto", "auto", ("torch", "cuda", "bfloat16")),
        (GPU, False, "auto", "auto", "auto", ("torch", "cuda", "bfloat16")),
        (GPU, True, "gpu", "torch", "float32", ("torch", "cuda", "float32")),
        (GPU, True, "gpu", "auto", "32-true", ("torch", "cuda", "float32")),
        (GPU, True, "cuda", "auto", "bf16-true", ("torch", "cuda", "bfloat16")),
        (GPU, True, "cuda", "auto", "16-mixed", ("torch", "cuda", "bfloat16")),
        (OLD_GPU, True, "cuda", "auto", "auto", ("torch", "cuda", "float32")),
        (OLD_GPU, False, "cuda", "auto", "bf16-mixed", ("torch", "cuda", "float32")),
        (APPLE, True, "mps", "auto", "auto", ("torch", "mps", "float32")),
        (GPU, True, "auto", "openvino", "auto", ("openvino", "cpu", "bfloat16")),
        (GPU, True, "cpu", "auto", "auto", ("openvino", "cpu", "bfloat16")),
        (None, True, "cpu", "auto", "bf16-true", ("openvino", "cpu", "bfloat16")),
    ],
)
def test_the_rule_with_a_gpu(
    gpu: Gpu | None,
    is_own: bool,
    accelerator: AcceleratorChoice,
    backend: BackendChoice,
    precision: PrecisionChoice,
    expected: tuple[str, str, str],
) -> None:
    around = where(NEW, gpu=gpu)
    found = chosen_runtime(backend, precision, around, is_own_network=is_own, accelerator=accelerator)
    assert (found.backend, found.device, found.precision) == expected
    assert found.batch_size == (4 if found.device == "cpu" else GPU_BATCH_SIZE)
    # What is recorded of it is had again there, and says what it needs elsewhere.
    recorded = {**found.numerics(), "batch_size": found.batch_size}
    assert recorded_device(recorded) == found.device
    assert recorded_runtime(recorded, around) == found
    if found.device != "cpu":
        with pytest.raises(IncompatibleParameters, match=f"accelerator was '{found.device}'.*go on where there is one"):
            recorded_runtime(recorded, where(NEW))


def test_a_session_of_the_cpu_stays_there() -> None:
    recorded = {"backend": "torch 2.15.0 cpu", "precision": "float32", "batch_size": 4}
    assert recorded_runtime(recorded, where(NEW, gpu=GPU)) == Runtime(backend="torch", precision="float32")


def test_a_smaller_batch_of_a_gpu_is_kept() -> None:
    recorded = {"backend": "torch 2.15.0 cuda", "precision": "float32", "batch_size": 16}
    assert recorded_runtime(recorded, where(NEW, gpu=GPU)).batch_size == 16
    with pytest.raises(IncompatibleParameters, match=r"precision was 'bfloat16'.*B \(7\.5\)"):
        recorded_runtime({**recorded, "precision": "bfloat16"}, where(NEW, gpu=OLD_GPU))
    with pytest.raises(IncompatibleParameters, match="accelerator was 'cuda'"):
        recorded_runtime(recorded, where(NEW, gpu=APPLE))


@pytest.mark.parametrize(
    ("gpu", "accelerator", "backend", "precision", "message"),
    [
        (None, "gpu", "auto", "auto", "accelerator='gpu': torch .* finds none on this machine"),
        (GPU, "gpu", "openvino", "auto", "backend='openvino'.*the CPU only"),
        (OLD_GPU, "auto", "auto", "bf16-true", r"precision='bfloat16': B \(7\.5\) has no instructions"),
        (GPU, "tpu", "auto", "auto", "accelerator='tpu': must be one of"),
    ],
)
def test_what_a_gpu_cannot_do_is_refused(
    gpu: Gpu | None, accelerator: AcceleratorChoice, backend: BackendChoice, precision: PrecisionChoice, message: str
) -> None:
    with pytest.raises(InvalidParameter, match=message):
        chosen_runtime(backend, precision, where(NEW, gpu=gpu), is_own_network=True, accelerator=accelerator)


def test_lightnings_words_are_ours() -> None:
    assert [plain_precision(each) for each in PRECISIONS] == [
        *("auto", "float32", "bfloat16", "float32", "bfloat16", "bf16-mixed", "16-mixed")
    ]


@pytest.mark.parametrize(("backend", "precision"), [("cuda", "auto"), ("auto", "int8"), (None, "auto"), ("auto", 16)])
def test_other_words_are_refused(backend: BackendChoice, precision: PrecisionChoice) -> None:
    with pytest.raises(InvalidParameter, match="must be one of"):
        chosen_runtime(backend, precision, where(NEW), is_own_network=True)


@pytest.mark.parametrize("has_openvino", [True, False])
@pytest.mark.parametrize("processor", [NEW, OLD, ARM], ids=lambda processor: processor.name)
def test_what_is_chosen_and_recorded_is_had_again(processor: Processor, has_openvino: bool) -> None:
    surroundings = where(processor, has_openvino)
    for backend in BACKENDS:
        for precision in PRECISIONS:
            try:
                chosen = chosen_runtime(backend, precision, surroundings, is_own_network=True)
            except InvalidParameter:
                continue
            recorded = {"backend": f"{chosen.backend} 1.2 cpu", "precision": chosen.precision}
            assert recorded_runtime(recorded, surroundings) == chosen


def test_a_session_from_elsewhere_says_what_is_missing() -> None:
    fast = {"backend": "openvino 2026.4.1 cpu", "precision": "bfloat16"}
    with pytest.raises(IncompatibleParameters, match=r"pip install 'mlsession\[fast\]'"):
        recorded_runtime(fast, where(NEW, has_openvino=False))
    with pytest.raises(IncompatibleParameters, match=r"precision.*x86_64 avx2"):
        recorded_runtime(fast, where(OLD))


def test_instruction_sets_are_read() -> None:
    text = "processor\t: 0\nflags\t\t: fpu avx2 fma amx_bf16 avx512f\n\nprocessor\t: 1\nflags\t\t: fpu\n"
    assert told_sets(text) == ("avx2", "avx512f", "amx_bf16")
    assert told_sets("Features\t: fp asimd\n") == ()
    assert told_sets("") == ()


@pytest.mark.parametrize(
    ("quota", "processors"),
    [
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("6400000 100000\n", 64),
        ("max 100000\n", None),
        ("", None),
        ("100000 0", None),
    ],
)
def test_quota(quota: str, processors: int | None) -> None:
    assert whole_processors(quota) == processors


def test_there_is_a_processor() -> None:
    assert usable_processors() >= 1
