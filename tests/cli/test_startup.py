"""What a process of its own does: start without what it does not need, and end as it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cli.commands import ended, mlsession, start
from tests.cli.conftest import Trained

STATUS = """
import sys
from mlsession.cli.__main__ import run
assert run(["status", sys.argv[1], "--json"]) == 0
sys.exit(",".join(name for name in ("torch", "torchvision", "coremltools", "typer.rich_utils") if name in sys.modules))
"""


def test_help_and_version_run_as_a_module(tmp_path: Path) -> None:
    assert mlsession("--version", folder=tmp_path).out.startswith("mlsession ")
    assert mlsession("--help", folder=tmp_path).code == 0
    assert mlsession("train", "--nonsense", folder=tmp_path).code == 2


def test_status_loads_no_torch(trained: Trained) -> None:
    found = subprocess.run([sys.executable, "-c", STATUS, str(trained.session)], capture_output=True, text=True)
    assert found.stderr.strip() == ""
    assert found.stdout.startswith('{"url": ')


def test_a_reader_that_goes_away_is_not_a_bug(trained: Trained) -> None:
    process = start("status", "train.mlsession", "--json", folder=trained.folder)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    found = ended(process)
    assert found.err == ""
    assert found.code == 1
