"""A process that has imported what commands need and forks them, so that a test of one does not take its imports' time.

    python -m tests.recovery.nursery [everything | clients | lightning]

"everything" imports what `mlsession train` needs, torch included, "clients" what talks to servers, and "lightning" our
callback for its trainer; otherwise there is only the torch-free walker. Each line of standard input is a JSON object,
answered by one line: `{"program", "words", "output", "errors", "folder", "user", "environment", "halt"}` forks a child
in a process group of its own, and gives its process id; `{"wait": pid}` waits for its end, and gives how it ended, as
`subprocess.Popen.returncode` does. Until then the process id stays the child's. `{"load": module}` imports one more.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from mlsession.job.signals import SIGNALS
from tests.recovery.halting import is_stopped, plant

REPOSITORY = Path(__file__).parents[2]
SECONDS = 240.0
"""More than anything here takes; a test that waits so long has failed."""
LAZY = ("encodings.ascii", "encodings.idna", "traceback", "linecache")
"""What Python imports in the midst of things, and could not as a user who may not read where it lies."""
LIBRARIES = ("torch", "safetensors.numpy", "PIL.Image", "pandas", "pyarrow.compute", "rich.progress", "s3fs")
CLIENTS = ("adlfs", "fsspec.implementations.ftp", "gcsfs.extended_gcsfs", "s3fs", "tests.recovery.victims")
PARTS = ("cli", "finetuning", "heads", "metrics", "phases", "training", "extractors.embedded")
"""Of the package, what a training with the embedded extractor imports."""


class Forked:
    """A child of a nursery, its output in files."""

    def __init__(self, nursery: Nursery, pid: int, output: Path, errors: Path) -> None:
        self.pid = pid
        self._nursery = nursery
        self._output = output
        self._errors = errors

    @property
    def out(self) -> str:
        return self._output.read_text(errors="replace")

    @property
    def err(self) -> str:
        return self._errors.read_text(errors="replace")

    @property
    def has_ended(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            os.kill(self.pid, number)

    def until(self, condition: Callable[[], object]) -> None:
        """Returns once `condition()` holds; fails if the child ends before."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            if self.has_ended or time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise AssertionError(f"it ended with {self.wait()} before that: {self.out}{self.err}")
            time.sleep(0.002)

    def until_halted(self) -> None:
        """Returns once it has stopped itself, see halting.py; fails if it ends before."""
        self.until(lambda: is_stopped(self.pid))

    def wait(self) -> int:
        """Its exit code, negative for a signal that killed it."""
        deadline = time.monotonic() + SECONDS
        while not self.has_ended:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise AssertionError(f"it does not end: {self.err}")
            time.sleep(0.002)
        return self._nursery.ask({"wait": self.pid})


class Nursery:
    """Starts children; `folder` takes what they print."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._folder = folder
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.recovery.nursery", *words],
            cwd=REPOSITORY,
            # Threads would start with numpy, and a fork has only one. Idle ones that spin take the tests' cores.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0", "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        program: str,
        *words: str | Path,
        folder: Path | None = None,
        user: int | None = None,
        environment: Mapping[str, str] | None = None,
        halt: str = "",
    ) -> Forked:
        """A child that runs `program`, "walk", "mlsession" or the path of a script, in `folder`, as `user`.

        Where `halt` says it stops in its tracks, see halting.py.
        """
        self._count += 1
        output, errors = (self._folder / f"{self._count}.{kind}" for kind in ("out", "err"))
        output.touch()
        errors.touch()
        about = {
            "program": program,
            "words": list(map(str, words)),
            "output": str(output),
            "errors": str(errors),
            "folder": str(folder or self._folder),
            "user": user,
            "environment": dict(environment or {}),
            "halt": halt,
        }
        return Forked(self, self.ask(about), output, errors)

    def run(
        self,
        program: str,
        *words: str | Path,
        user: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str, str]:
        """The exit code of a child, and what it printed."""
        child = self.start(program, *words, user=user, environment=environment)
        return child.wait(), child.out, child.err

    def load(self, *modules: str) -> None:
        """Imports what some children need beyond what all do."""
        for module in modules:
            self.ask({"load": module})

    def ask(self, question: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the nursery has ended; its own output says why"
        return int(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


def import_everything() -> None:
    """All that a training needs."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for part in PARTS:
        package = importlib.import_module(f"mlsession.{part}")
        for module in pkgutil.walk_packages(getattr(package, "__path__", ()), f"mlsession.{part}."):
            importlib.import_module(module.name)


def serve() -> None:
    """Answers each line of standard input, until there is none."""
    for line in sys.stdin:
        question = json.loads(line)
        if "load" in question:
            importlib.import_module(question["load"])
            _answer(0)
            continue
        if "wait" in question:
            _answer(os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1]))
            continue
        pid = os.fork()
        if pid == 0:
            _be_child(question)
        _answer(pid)


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _be_child(about: dict[str, Any]) -> None:
    try:
        os.setpgid(0, 0)
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.environ.update(about["environment"])
        if "fsspec" in sys.modules:
            # It read the environment when it was imported.
            config = sys.modules["fsspec.config"]
            config.set_conf_env(config.conf)
        os.chdir(about["folder"])
        for descriptor, name in ((0, os.devnull), (1, about["output"]), (2, about["errors"])):
            opened = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
            os.dup2(opened, descriptor)
            os.close(opened)
        if about["user"] is not None:
            os.setgroups([])
            os.setgid(about["user"])
            os.setuid(about["user"])
        if about["halt"]:
            plant(about["halt"])
        _run(about["program"], about["words"])
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(end.code)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(1)


def _run(program: str, words: Sequence[str]) -> None:
    if program == "walk":
        from tests.recovery.walker import main as walk

        walk(words)
    elif program == "mlsession":
        from mlsession.cli.__main__ import main

        sys.argv = ["mlsession", *words]
        main()
    else:
        sys.argv = [program, *words]
        runpy.run_path(program, run_name="__main__")
        sys.exit(0)


if __name__ == "__main__":
    for lazy in (*LAZY, "tests.recovery.walker"):
        importlib.import_module(lazy)
    if "everything" in sys.argv[1:]:
        import_everything()
    for client in CLIENTS if "clients" in sys.argv[1:] else ():
        importlib.import_module(client)
    if "lightning" in sys.argv[1:]:
        importlib.import_module("mlsession.integrations.lightning")
    gc.collect()
    gc.freeze()
    serve()
