from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlsession.randomness import keyed_generator
from mlsession.store import Store, open_store
from mlsession.testing.invariants import check_session
from tests.examples.runs import MONTE_CARLO, REPOSITORY, SECONDS, final_line, num_records, start, wait_for_records
from tests.servers.s3 import S3Server

ARGUMENTS = ("--batches", "60", "--checkpoint-interval", "3")
# Three seconds, so that whoever is kept waiting by a busy machine still finds it at work.
SLOWLY = (*ARGUMENTS, "--pause", "0.05")


def killed_again_and_again(
    url: str, store: Store, seed: int, kills: int, environment: Mapping[str, str] | None = None
) -> str:
    """Runs the example, kills it at seeded moments, and gives what it prints in the end."""
    print(f"seed {seed}")  # noqa: T201
    random = keyed_generator(seed, "kill")
    num_killed = 0
    for number in range(kills):
        process = start(url, *SLOWLY, environment=environment)
        try:
            # Every other time it dies before it has opened the session, or just then.
            more = int(random.integers(1, 5)) if number % 2 else 0
            wait_for_records(store, num_records(store) + more, process)
            time.sleep(float(random.uniform(0, 0.05 if more else 0.5)))
        finally:
            process.kill()
            process.communicate()
        num_killed += process.returncode < 0
        check_session(store)
    assert num_killed >= kills // 2
    return final_line(url, *ARGUMENTS, environment=environment)


@pytest.mark.sampled(0.4)
def test_killed_again_and_again_on_a_local_disk(tmp_path: Path) -> None:
    expected = final_line(str(tmp_path / "unbroken"), *ARGUMENTS)
    store = open_store(tmp_path / "killed")
    assert killed_again_and_again(str(tmp_path / "killed"), store, seed=0, kills=4) == expected
    facts = check_session(store)
    assert facts is not None
    assert facts.records[-1].body["outcome"] == "finished"
    assert [entry.iteration for entry in facts.checkpoints if entry.ended] == [60, 1]


@pytest.mark.sampled(0.4)
def test_killed_again_and_again_on_s3(tmp_path: Path, s3_server: S3Server) -> None:
    expected = final_line(str(tmp_path / "unbroken"), *ARGUMENTS)
    url = f"{s3_server.new_bucket_url()}/sessions/pi"
    store = open_store(url, s3_server.storage_options)
    try:
        assert killed_again_and_again(url, store, seed=1, kills=2, environment=s3_server.environment) == expected
        assert check_session(store) is not None
    finally:
        store.close()


@pytest.mark.sampled(0.4)
def test_the_same_command_extends_what_is_there(tmp_path: Path) -> None:
    expected = final_line(str(tmp_path / "unbroken"), "--batches", "40")
    final_line(str(tmp_path / "session"), "--batches", "20")
    assert final_line(str(tmp_path / "session"), "--batches", "40", "--checkpoint-interval", "7") == expected


LOADED = f"""
import json, runpy, sys
sys.argv = [{str(MONTE_CARLO)!r}, sys.argv[1], "--batches", "2"]
runpy.run_path({str(MONTE_CARLO)!r}, run_name="__main__")
print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""


def test_it_needs_neither_torch_nor_an_image_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(tmp_path / "session")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "numpy" in loaded
    heavy = {"torch", "torchvision", "timm", "coremltools", "albumentations", "cv2", "PIL", "pandas", "pyarrow"}
    assert loaded & (heavy | {"fsspec", "lightning", "pytorch_lightning", "scipy", "sklearn"}) == set()
