"""Which rank a process has, by what its launcher says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlsession.cli.running.worker import WorkerArguments
from mlsession.devices.placement import Placement, placement_here, visible_device
from mlsession.errors import InvalidParameter

BY_HAND = {"RANK": "2", "WORLD_SIZE": "3", "MASTER_ADDR": "head", "MASTER_PORT": "29400"}
ELASTIC = {
    **BY_HAND,
    **{"TORCHELASTIC_RUN_ID": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": "4"},
}


def test_without_a_launcher_it_is_alone() -> None:
    batch_script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}
    assert placement_here({}) == placement_here(batch_script) == Placement()


def test_torchrun_says_it() -> None:
    assert placement_here(ELASTIC) == Placement(
        rank=2, size=3, local_rank=1, local_size=2, address="head", port=29400, restarts=4, is_elastic=True
    )


def test_a_pytorch_job_says_it() -> None:
    assert placement_here(BY_HAND) == Placement(rank=2, size=3, address="head", port=29400)


@pytest.mark.parametrize("wrong", [{"RANK": "3"}, {"RANK": "two"}, {"WORLD_SIZE": "0"}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter, match="does not say which rank this is"):
        placement_here({**ELASTIC, **wrong})


@pytest.mark.parametrize(
    ("visible", "local_rank", "expected"),
    [(None, 3, "3"), ("4,6", 1, "6"), ("4", 1, "4"), ("GPU-aa, GPU-bb", 0, "GPU-aa"), ("", 1, "")],
)
def test_each_rank_sees_one_gpu(visible: str | None, local_rank: int, expected: str) -> None:
    assert visible_device(visible, local_rank) == expected


@pytest.mark.parametrize("restarts", [0, 1])
def test_taking_over_is_not_for_launchers_that_repeat_it(restarts: int) -> None:
    """Where machines come and go they start their workers again without counting it."""
    given = WorkerArguments(
        url="session",
        on_modified_data="fail",
        checkpoint_interval="auto",
        keep_last=None,
        keep_best=None,
        report_interval=1,
        cache="none",
        cache_size="10GB",
        storage_option=(),
        take_over=True,
        strategy="auto",
    )
    with pytest.raises(InvalidParameter, match=r"take_over=True: .*--create-only --take-over"):
        given.parameters(Placement(is_elastic=True, restarts=restarts))
    assert given.parameters(Placement()).take_over
    assert not replace(given, take_over=False).parameters(Placement(is_elastic=True)).take_over
