"""The examples for clusters, as far as they can be tried without one: their shells, commands and manifests."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from mlsession.cli.app import parse
from tests.recovery.nursery import REPOSITORY, SECONDS

CLUSTER = REPOSITORY / "examples" / "cluster"
SCRIPTS = sorted(CLUSTER.glob("*.sh"))
MANIFESTS = sorted(CLUSTER.glob("*.yaml"))

WORKER_OPTIONS = "--strategy fsdp --keep-last 2"
"""As the examples give them for an example."""

STATUS = """#!/bin/bash
echo "mlsession $*" >> "$NOTES"
[ "$1" != status ] || echo '{"url": "s", "status": "'"$SESSION_STATUS"'"}'
"""
NOTING = """#!/bin/bash
echo "$(basename "$0") $*" >> "$NOTES"
[ "$*" != "show hostnames n[1-2]" ] || printf 'n1\\nn2\\n'
"""
TRAINING = """#!/bin/bash
echo "mlsession $*" >> "$NOTES"
trap 'echo saved >> "$NOTES"; exit 75' USR1
while [ ! -e "$NOTES.go" ]; do sleep 0.01; done
"""


def commands() -> list[list[str]]:
    """Each `mlsession` command that the examples and their page name, as words."""
    found: list[list[str]] = []
    for path in (*SCRIPTS, *MANIFESTS, REPOSITORY / "docs" / "devices.md"):
        text = re.sub(r"\$\{?WORKER_OPTIONS-?\}?", WORKER_OPTIONS, path.read_text().replace("\\\n", " "))
        for line in re.findall(r"\bmlsession (?:train|worker|status) [^\n`|&)#]*", text):
            words = [word for word in shlex.split(re.sub(r"\[.*?\]|\.\.\.", "", line)) if word != "$@"]
            found.append(words[1:])
    return found


def test_all_examples_are_looked_at() -> None:
    assert [path.name for path in (*SCRIPTS, *MANIFESTS)] == [
        *("slurm.sh", "spot_vm.sh"),
        *("kubernetes-job.yaml", "pytorchjob.yaml"),
    ]
    assert {words[0] for words in commands()} == {"train", "worker", "status"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_the_commands_that_they_name_exist(words: list[str]) -> None:
    assert callable(parse([*words] if len(words) > 1 else [*words, "URL"]))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_shell_understands_them(script: Path) -> None:
    checked = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def containers(value: Any) -> list[dict[str, Any]]:
    """All containers in a manifest."""
    if isinstance(value, list):
        return [found for each in value for found in containers(each)]
    if not isinstance(value, dict):
        return []
    return [*value.get("containers", []), *(found for each in value.values() for found in containers(each))]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_manifests_give_time_to_save(manifest: Path) -> None:
    found = yaml.safe_load(manifest.read_text())
    (container,) = containers(found)
    line = [*container["command"], *container["args"]]
    if line[0] == "mlsession":
        assert callable(parse(line[1:]))
    assert "bucket" not in str(container.get("env", "")).replace("s3://bucket", "")
    assert int(re.findall(r"terminationGracePeriodSeconds: (\d+)", manifest.read_text())[0]) > 30


def test_a_pod_of_several_can_be_replaced() -> None:
    """Launchers that stay must tell the new one where to meet; those of torch 2.15 that share a store do not."""
    (container,) = containers(yaml.safe_load((CLUSTER / "pytorchjob.yaml").read_text()))
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] == "1"


def bin_of(tmp_path: Path, **programs: str) -> dict[str, str]:
    """An environment whose path begins with these programs, which note how they are called."""
    (tmp_path / "bin").mkdir()
    for name, program in programs.items():
        (tmp_path / "bin" / name).write_text(program)
        (tmp_path / "bin" / name).chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "NOTES": str(tmp_path / "notes")}


@pytest.mark.parametrize(("status", "code"), [("finished", 0), ("interrupted", 75), ("running", 75), ("failed", 1)])
def test_slurm_ends_as_the_session_says(tmp_path: Path, status: str, code: int) -> None:
    environment = bin_of(tmp_path, mlsession=STATUS, scontrol=NOTING, scancel=NOTING, srun=NOTING)
    job = {"SLURM_JOB_ID": "17", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "n[1-2]", "SESSION_STATUS": status}
    line = ["bash", str(CLUSTER / "slurm.sh"), "my data", "s", "--seed", "3"]
    told = {"WORKER_OPTIONS": WORKER_OPTIONS}
    ended = subprocess.run(line, env={**environment, **job, **told}, check=False, timeout=SECONDS)
    assert ended.returncode == code
    assert (tmp_path / "notes").read_text().splitlines() == [
        "mlsession train my data --session s --seed 3 --create-only",
        "scontrol show hostnames n[1-2]",
        "srun --kill-on-bad-exit=0 torchrun --nnodes=2 --nproc-per-node=gpu --max-restarts=3 --rdzv-backend=c10d "
        "--rdzv-id=17 --rdzv-endpoint=n1:29500 -m mlsession worker s " + WORKER_OPTIONS,
        "mlsession status s --json",
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals of a shell of Linux")
def test_a_spot_machine_saves_when_it_is_to_go(tmp_path: Path) -> None:
    notice = "#!/bin/bash\n[[ $* == *preempted* ]] && echo TRUE\n"
    environment = bin_of(tmp_path, mlsession=TRAINING, curl=notice)
    line = ["bash", str(CLUSTER / "spot_vm.sh"), "data", "s", "--seed", "3"]
    ended = subprocess.run(line, env={**environment, "POLL_SECONDS": "0.1"}, check=False, timeout=SECONDS)
    assert ended.returncode in (75, 138)  # 138: the notice came before the stand-in had begun.
    assert (tmp_path / "notes").read_text().splitlines()[
        0
    ] == "mlsession train data --session s --devices auto --seed 3"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals of a shell of Linux")
def test_a_spot_machine_that_is_stopped_between_two_attempts_ends(tmp_path: Path) -> None:
    environment = bin_of(tmp_path, mlsession=NOTING + "exit 75\n", curl="#!/bin/bash\nexit 1\n")
    environment |= {"POLL_SECONDS": "0.01", "PAUSE_SECONDS": "infinity"}
    with subprocess.Popen(["bash", str(CLUSTER / "spot_vm.sh"), "data", "s"], env=environment) as script:
        while not (tmp_path / "notes").exists():
            time.sleep(0.01)
        time.sleep(0.5)  # By then it pauses; if not, it ends as well.
        script.terminate()
        assert script.wait(SECONDS) == 75
    assert (tmp_path / "notes").read_text() == "mlsession train data --session s --devices auto\n"
