"""What a library that is loaded into the process must not do to it."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

openvino = pytest.importorskip("openvino", reason="installed with mlsession[fast], for x86 processors")

from mlsession.extractors.catalog import load_extractor, scene_print  # noqa: E402
from mlsession.extractors.running.runtime import Runtime  # noqa: E402


def test_the_core_outlives_the_extractors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Freed, it would take the stack away on which the thread that loaded it hears signals: a SIGTERM then crashes."""
    made: list[weakref.ref[object]] = []
    make = openvino.Core

    class Watched(make):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            made.append(weakref.ref(self))

    monkeypatch.setattr(openvino, "Core", Watched)
    for _ in range(2):
        extractor = load_extractor(scene_print(), Runtime(backend="openvino", precision="float32"))
        extractor.extract(np.zeros((1, 256, 256, 3), np.uint8))
        del extractor
        gc.collect()
    assert all(core() is not None for core in made), "a core is gone"
    assert len(made) <= 1
