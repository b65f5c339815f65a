"""The rules by which a network is run, and what they are told of the processor."""

from __future__ import annotations

import pytest

from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.extractors.runtime import (
    BACKENDS,
    PRECISIONS,
    BackendChoice,
    PrecisionChoice,
    Surroundings,
    chosen_runtime,
    recorded_runtime,
)
from mlsession.processor import Processor, told_sets, usable_processors, whole_processors

NEW = Processor(machine="x86_64", sets=("avx2", "avx512f", "avx512_bf16", "amx_bf16"))
OLD = Processor(machine="x86_64", sets=("avx2",))
ARM = Processor(machine="arm64")


def where(processor: Processor, has_openvino: bool = True) -> Surroundings:
    return Surroundings(processor=processor, has_openvino=has_openvino)


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
