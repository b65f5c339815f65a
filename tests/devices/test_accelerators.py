"""Which accelerator a choice means, and that nobody who needs none pays for the question."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlsession.devices.accelerators import ACCELERATORS, DRIVERS, Gpu, check_accelerator, gpu_here
from mlsession.errors import InvalidParameter


def test_the_words_are_lightnings() -> None:
    for word in ACCELERATORS:
        check_accelerator(word)
    for other in ("tpu", "GPU", None, 1):
        with pytest.raises(InvalidParameter, match=r"accelerator=.*must be one of auto, cpu, gpu, cuda, mps"):
            check_accelerator(other)


def test_without_a_driver_torch_is_not_asked() -> None:
    code = (
        "import sys\n"
        "from mlsession.devices.accelerators import gpu_here\n"
        "assert gpu_here('auto', exists=lambda path: False) is None\n"
        "assert gpu_here('cpu', exists=lambda path: True) is None\n"
        "print([name for name in ('torch', 'lightning_fabric') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


@pytest.mark.parametrize("driver", DRIVERS)
def test_where_there_is_a_driver_torch_decides(driver: str) -> None:
    import torch

    found = gpu_here("auto", exists=lambda path: path == driver)
    assert (found is not None) == torch.cuda.is_available()


@pytest.mark.parametrize("choice", ["gpu", "cuda", "mps"])
def test_one_that_is_named_is_looked_for_without_a_driver_file(choice: str) -> None:
    import torch

    found = gpu_here(choice, exists=lambda path: False)  # type: ignore[arg-type]
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    assert (found is not None) == (any(here.values()) if choice == "gpu" else here[choice])


def test_a_rank_has_its_own() -> None:
    first = Gpu(device="cuda", name="A", libraries="cuda 12.8 cudnn 91002", has_bfloat16=True, place="cuda:0")
    assert [first.at(rank).place for rank in (0, 3)] == ["cuda:0", "cuda:3"]
    only = Gpu(device="mps", name="B", libraries="macos 15.1", has_bfloat16=False, place="mps")
    assert only.at(1) == only
