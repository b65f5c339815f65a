"""What tests run in processes of their own, to race with them, interrupt them and kill them; and how they do it.

python -m tests.store.processes create ROOT NAME     creates each key that is read from standard input
python -m tests.store.processes write ROOT FIRST     writes until it is stopped, and says what is done
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlsession.errors import KeyExists
from mlsession.store import LocalStore
from mlsession.store.keys import is_temporary

REPOSITORY = Path(__file__).parents[2]


def value_of(number: int) -> bytes:
    """About 300 kB from which `number_of` tells whether they are whole."""
    block = hashlib.sha256(b"%d" % number).digest()
    return b"%010d" % number + block * (9_000 + number % 7)


def number_of(value: bytes) -> int:
    """The number a value was made from; fails where it is not exactly such a value."""
    number = int(value[:10])
    assert value == value_of(number), f"value {number} is torn: {len(value)} bytes"
    return number


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One of the commands above, in a process of its own, its input and output piped; killed if still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.processes", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run(program: str) -> str:
    """What a program says, run in a process of its own; its lines may be indented as a whole."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def temporaries(root: Path) -> list[Path]:
    """The files below a folder that look as if they were still being written."""
    return [path for path in root.rglob("*") if is_temporary(path.name)]


def create(root: str, name: str) -> None:
    """For each key read: create it, holding `name`, and say "won" or "lost"."""
    store = LocalStore(root)
    _say("ready")
    for line in sys.stdin:
        try:
            store.put_if_absent(line.strip(), name.encode() * 1000)
        except KeyExists:
            _say("lost")
        else:
            _say("won")


def write(root: str, first: str) -> None:
    """Number after number: replace "state", create "log/<number>", then say the number."""
    store = LocalStore(root)
    _say("ready")
    for number in itertools.count(int(first)):
        store.put("state", value_of(number))
        store.put_if_absent(f"log/{number:06}", value_of(number))
        _say(str(number))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"create": create, "write": write}[sys.argv[1]](*sys.argv[2:])
