"""What a library that is loaded into the process must not do to it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino", reason="installed with mlsession[fast], for x86 processors")

SCRIPT = """
import gc, signal
import numpy as np
from mlsession.extractors.catalog import load_extractor, scene_print
from mlsession.extractors.runtime import Runtime
runtime = Runtime(backend="openvino", precision="float32")
load_extractor(scene_print(), runtime).extract(np.zeros((1, 256, 256, 3), np.uint8))
gc.collect()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
signal.raise_signal(signal.SIGTERM)
"""


def test_signals_are_heard_after_an_extractor_is_gone() -> None:
    """OpenVINO frees the stack on which the thread that loaded it hears signals, once nothing of it is in use."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "heard\n", "")
