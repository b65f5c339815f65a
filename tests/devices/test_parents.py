"""Workers end with those that started them, whenever these go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.devices.placement import ELASTIC
from mlsession.job.handed import handed, write_launcher
from mlsession.job.parents import Ancestor

IMPORTING = """
import subprocess, sys, time

if sys.argv[1:] == ["worker"]:
    from mlsession.cli.app import parse

    class Slow:
        def find_spec(self, name, path=None, target=None):
            if name == "mlsession.cli.running.worker":
                print("importing", flush=True)
                time.sleep(60)
                print("survived", flush=True)

    sys.meta_path.insert(0, Slow())
    parse(["worker", "session"])()
else:
    subprocess.Popen([sys.executable, __file__, "worker"])
    time.sleep(60)
"""
WAITING = """
import sys, time
from mlsession.job.parents import Ancestor, end_with

end_with(tuple(Ancestor(int(pid), start) for pid, start in (word.split("/") for word in sys.argv[1:])))
print("waiting", flush=True)
time.sleep(60)
print("survived", flush=True)
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it tells processes apart as Linux lists them")


def test_one_whose_launcher_dies_while_it_imports_ends(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(IMPORTING)
    environment = {**os.environ, ELASTIC: "none"}
    with subprocess.Popen([sys.executable, path], env=environment, stdout=subprocess.PIPE, text=True) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == "importing\n"
        launcher.kill()
        assert launcher.stdout.read() == "", "it ends once the worker has"


def test_one_whose_launcher_had_gone_before_it_looked_ends() -> None:
    here = Ancestor.of(os.getpid())
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    # Also where the number has been given to another process since.
    for launcher in (Ancestor(gone.pid, "1"), Ancestor(here.pid, "1")):
        words = [f"{each.pid}/{each.start}" for each in (here, launcher)]
        found = subprocess.run([sys.executable, "-c", WAITING, *words], capture_output=True, text=True, check=True)
        assert "survived" not in found.stdout


def test_a_worker_learns_who_its_launcher_is(tmp_path: Path) -> None:
    path = tmp_path / "launcher"
    told = handed(ml.SessionParameters("s"), {}, "report", str(path))
    assert list(told.ancestors) == [Ancestor.of(os.getpid())]
    write_launcher(path, os.getppid())
    assert list(told.ancestors) == [Ancestor.of(os.getpid()), Ancestor.of(os.getppid())]
    assert json.loads(path.read_text())[0] == os.getppid()
    assert [each.name for each in tmp_path.iterdir()] == ["launcher"]
