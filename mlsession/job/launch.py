"""Starting the worker processes of a session on this machine, by torchrun's elastic launcher, and staying with them.

    python -m torch.distributed.run --standalone --nproc-per-node N --max-restarts 3 -m mlsession worker URL

The launcher starts all of them again when one dies, up to three times. It dies of a SIGUSR1, so whatever this job is
interrupted by reaches it as a SIGTERM, which it passes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlsession.events import Event
from mlsession.job.context import JobContext
from mlsession.job.handed import VARIABLE, handed, write_launcher
from mlsession.job.report import ReportReader
from mlsession.job.workplace import worker_folder
from mlsession.processor import usable_processors
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Json
from mlsession.session.stop import StopKind, StopRequest
from mlsession.store.location import redact

RESTARTS = 3
"""How often the workers are started again after one has died; what is committed by then is kept each time."""
_LOOK_SECONDS = 0.1
_PASS_ON_SECONDS = 1.0
"""Between two looks for an opening that is to be asked to stop."""
_LAST_SECONDS = 15.0
"""What the launcher may take to end its workers beyond the grace time, before all are killed."""
_LAST_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the launcher ended."""

    code: int
    failure: tuple[int, dict[str, Json]] | None
    """The rank that first ended of an error, and what it said of it, after the workers' last start."""
    last_words: str
    """The last lines that a worker printed, or the launcher."""


def run_workers(
    parameters: SessionParameters,
    count: int,
    access: dict[str, dict[str, object]],
    context: JobContext,
    pass_on: Callable[[StopRequest], None],
) -> Ended:
    """Starts `count` workers for the session at `parameters.url`, and returns once all have ended.

    Their events become this job's. Asked to cancel, the job has `pass_on` ask the session's writer, again and again;
    interrupted, it has the launcher end the workers, who save first. Raises `InvalidParameter` where the storage
    options cannot be handed over.
    """
    with worker_folder() as folder:
        report, printed, launcher = (folder / name for name in ("events.jsonl", "printed.txt", "launcher"))
        told = handed(parameters, access, str(report), str(launcher))
        environment = _environment(told.encode(), parameters.grace_seconds)
        with printed.open("wb") as output:
            process = subprocess.Popen(
                _command(redact(str(parameters.url)), count, str(folder)),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # A Ctrl-C is for us, and we pass it on.
            )
        reader = ReportReader(report)
        try:
            write_launcher(launcher, process.pid)
            _stay(process, reader, context, parameters.grace_seconds, pass_on)
        finally:
            _end(process)
            _tell(reader, context.emit)
        return Ended(code=process.returncode, failure=reader.failure, last_words=last_words(folder, printed))


def _stay(
    process: subprocess.Popen[bytes],
    reader: ReportReader,
    context: JobContext,
    grace_seconds: float,
    pass_on: Callable[[StopRequest], None],
) -> None:
    """Until the launcher has ended, or has had its time."""
    clock, passed_on = context.clock, -_PASS_ON_SECONDS
    is_told = False
    while process.poll() is None:
        _tell(reader, context.emit)
        asked, now = context.stop.request, clock.monotonic()
        if asked is not None and asked.kind is StopKind.INTERRUPTED:
            if not is_told:
                process.terminate()
                is_told = True
            if now - asked.since > grace_seconds + _LAST_SECONDS:
                return
        elif asked is not None and now - passed_on >= _PASS_ON_SECONDS:
            pass_on(asked)
            passed_on = now
        clock.sleep(_LOOK_SECONDS)


def _tell(reader: ReportReader, emit: Callable[[Event], None]) -> None:
    for event in reader.read():
        emit(event)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nobody is left behind. Workers are in sessions of their own, and end when their launcher has gone."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()


def last_words(folder: Path, printed: Path) -> str:
    """The last lines of the worker that stopped printing first, of those that were started last: it is why they ended.

    Of the launcher's own, in `printed`, where no worker has said anything.
    """
    starts = sorted(folder.glob("*/attempt_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    files = [path for path in starts[-1].glob("*/std*.log") if path.stat().st_size] if starts else []
    file = min(files, key=lambda path: path.stat().st_mtime_ns, default=printed)
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " / ".join(lines[-_LAST_LINES:])


def _command(url: str, count: int, folder: str) -> list[str]:
    """torchrun's, with what the workers print in files below `folder`, apart from its own long words."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    logs = [f"--log-dir={folder}", "--redirects=3"]
    return [*launcher, *logs, f"--max-restarts={RESTARTS}", "-m", "mlsession", "worker", url]


def _environment(text: str, grace_seconds: float) -> dict[str, str]:
    """Ours, without the place that another launcher has given to this process."""
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("TORCHELASTIC_", "SLURM_", "PET_"))
    }
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        ours.pop(name, None)
    # What torchrun would set to 1, which one process that trains alone does not do.
    ours.setdefault("OMP_NUM_THREADS", str(usable_processors()))
    ours["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(int(grace_seconds) + 5)
    return {**ours, VARIABLE: text}
