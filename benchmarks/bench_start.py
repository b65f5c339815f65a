"""How long a command takes to say something: interleaved, median of several fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 7
COMMANDS = {
    "nothing": ["-c", "pass"],
    "import typer, rich": ["-c", "import typer, rich"],
    "import mlsession": ["-c", "import mlsession"],
    "mlsession --help": ["-m", "mlsession", "--help"],
    "import torch": ["-c", "import torch"],
}


def main(rounds: int = ROUNDS) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(f"{name:22} {median:6.2f} s   {median / medians['import typer, rich']:5.1f} x typer, rich")


if __name__ == "__main__":
    main()
