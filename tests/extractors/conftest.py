from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from mlsession.extractors.catalog import load_extractor, scene_print
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.running.runtime import Runtime
from mlsession.processor import this_processor
from tests.extractors.photos import prepared

EXACT = (Runtime(backend="torch", precision="float32"), Runtime(backend="openvino", precision="float32"))
RUNTIMES = (EXACT[0], Runtime(backend="openvino", precision="bfloat16"))
"""Both backends and both precisions, each once; see `test_lite.TestDrift` for the other pair."""


def named(runtime: Runtime) -> str:
    return f"{runtime.backend}-{runtime.precision}"


def usable(runtime: Runtime) -> Runtime:
    """The same, or the test is skipped where that cannot be had."""
    if runtime.precision == "bfloat16" and not this_processor().has_bfloat16:
        pytest.skip("this processor has no bfloat16")
    return runtime


@pytest.fixture(scope="session", params=RUNTIMES, ids=named)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """What runs the embedded networks."""
    return usable(request.param)


@pytest.fixture(scope="session")
def extractor(runtime: Runtime) -> FeatureExtractor:
    """The embedded extractor, on every runtime."""
    return load_extractor(scene_print(), runtime)


@pytest.fixture(scope="session", params=EXACT, ids=named)
def exact(request: pytest.FixtureRequest) -> FeatureExtractor:
    """The embedded extractor, on every runtime in float32."""
    return load_extractor(scene_print(), request.param)


@pytest.fixture(scope="session")
def images() -> npt.NDArray[np.uint8]:
    """uint8 [12, 256, 256, 3]: real photos of four labels; no multiple of the batch size."""
    return np.concatenate([prepared(label)[:3] for label in ("Banana", "Kiwi", "Lemon", "Tomato")])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch's threads wait by spinning, which on a busy machine takes many times as long."""
    with torch_numerics(1):
        yield
