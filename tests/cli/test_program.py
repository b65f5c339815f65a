"""The commands that we print can be pasted into the same shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(sys.executable).parent / "mlsession"
CODE = "import sys; from mlsession.cli.printing.program import program; sys.argv[0] = {!r}; print(program())"


def printed(argument: str, path: str) -> str:
    environment = {**os.environ, "PATH": path}
    line = [sys.executable, "-c", CODE.format(argument)]
    return subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_by_its_name_where_the_shell_finds_it() -> None:
    assert printed(str(SCRIPT), str(SCRIPT.parent)) == "['mlsession']"


def test_by_its_path_where_the_shell_does_not(tmp_path: Path) -> None:
    assert printed(str(SCRIPT), str(tmp_path)) == str([str(SCRIPT)])


def test_as_a_module() -> None:
    assert printed("/somewhere/mlsession/__main__.py", "") == str([sys.executable, "-m", "mlsession"])


def test_from_any_other_program() -> None:
    assert printed("/usr/bin/pytest", "") == "['mlsession']"
